"""The simulator itself: puts the parts together, listens, starts and stops."""

from __future__ import annotations

import contextlib
import functools
import socket
import socketserver
import threading
import types
from collections.abc import Callable

from histfs.simulator.concurrency_limit import Concurrency
from histfs.simulator.connection import Connection, ServerContext
from histfs.simulator.control_api import ControlApi
from histfs.simulator.conversation_store import ConversationStore
from histfs.simulator.conversations_api import ConvaiApi
from histfs.simulator.fault_injection import Faults
from histfs.simulator.history_api import HistoryApi
from histfs.simulator.history_store import HistoryStore
from histfs.simulator.key_access import Access
from histfs.simulator.request_counts import RequestCounts, RequestRecord
from histfs.simulator.routing import Router
from histfs.simulator.simulator_settings import Pace, SimulatorSettings
from histfs.simulator.text_search_api import TextSearchApi

_POLL_SECONDS = 0.02
# How long a stop waits for answers under way to notice it.
_GRACE_SECONDS = 2.0

# What the base class hands on; the second form is for datagrams and never comes here.
_Accepted = socket.socket | tuple[bytes, socket.socket]


class Simulator:
    """A server that speaks the API, in threads of this process.

    Use it as a context manager, or call `start` and `stop`. It listens from its construction on,
    and starts threads only in `start`: a process may fork in between and serve in the child.
    Everything it gives access to may be used from any thread while it serves.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        on_request: Callable[[RequestRecord], None] = lambda record: None,
    ) -> None:
        """Lays out the items and listens.

        Args:
            settings: How to set it up.
            on_request: Called with each request when its answer begins, by the thread of its
                connection.

        Raises:
            OSError: The address can't be had.
        """
        settings = settings or SimulatorSettings()
        self._settings = settings
        self._library = HistoryStore(settings)
        self._conversations = ConversationStore(settings)
        self._counts = RequestCounts()
        self._concurrency = Concurrency(settings.max_concurrent, settings.concurrency_headers)
        self._faults = Faults()
        self._pace = Pace(
            latency=settings.latency, bandwidth=settings.bandwidth, chunked=settings.chunked
        )
        self._stopping = threading.Event()
        access = Access(settings.api_key, settings.limited_keys, settings.permissions)
        self._access = access
        families = (
            HistoryApi(self._library, access, settings),
            TextSearchApi(self._conversations, access, offered=settings.text_search),
            ConvaiApi(self._conversations, access, files=settings.attachments),
            ControlApi(
                self._library,
                self._conversations,
                access=access,
                counts=self._counts,
                concurrency=self._concurrency,
                faults=self._faults,
                pace=self._pace,
            ),
        )
        router = Router(route for family in families for route in family.routes())
        desk = ServerContext(
            router,
            access,
            self._counts,
            self._concurrency,
            self._faults,
            self._pace,
            self._stopping,
            on_request,
        )
        self._listener = _Listener(settings.host, settings.port, desk)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Simulator:
        """Starts it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Stops it."""
        self.stop()

    def start(self) -> None:
        """Starts to answer; requests that came before have waited."""
        self._thread = threading.Thread(
            target=self._listener.serve_forever,
            args=(_POLL_SECONDS,),
            name="simulator",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stops to listen, ends all connections and waits until they have ended."""
        self._stopping.set()
        if self._thread:
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.end_connections()

    @property
    def base_url(self) -> str:
        """The URL to give to a client, without a slash at its end."""
        host = self._settings.host
        port = self._listener.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def api_key(self) -> str:
        """The account's key; it may do everything unless `permissions` say otherwise."""
        return self._settings.api_key

    @property
    def permissions(self) -> frozenset[str] | None:
        """What the account's key may do, such as "convai_read"; None is everything."""
        return self._access.permissions

    @permissions.setter
    def permissions(self, permissions: frozenset[str] | None) -> None:
        self._access.permissions = permissions

    @property
    def library(self) -> HistoryStore:
        """The items; they may be added and removed here as on the web page."""
        return self._library

    @property
    def conversations(self) -> ConversationStore:
        """The conversations; they may be added, removed and ended here."""
        return self._conversations

    @property
    def counts(self) -> RequestCounts:
        """What was asked."""
        return self._counts

    @property
    def concurrency(self) -> Concurrency:
        """How many requests are answered at once, and how many were refused."""
        return self._concurrency

    @property
    def faults(self) -> Faults:
        """What goes wrong."""
        return self._faults

    @property
    def latency(self) -> float:
        """Seconds before each answer."""
        return self._pace.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._pace.latency = seconds

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second of each answer; None is unlimited."""
        return self._pace.bandwidth

    @bandwidth.setter
    def bandwidth(self, rate: float | None) -> None:
        self._pace.bandwidth = rate

    @property
    def chunked(self) -> bool:
        """Whether audio is sent chunked, without its length."""
        return self._pace.chunked

    @chunked.setter
    def chunked(self, chunked: bool) -> None:
        self._pace.chunked = chunked


class _Listener(socketserver.ThreadingTCPServer):
    """Listens, and knows the connections that are open."""

    allow_reuse_address = True
    daemon_threads = True
    # The base class would wait for each thread without bound; `end_connections` does not.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, desk: ServerContext) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self._open: set[_Accepted] = set()
        self._changed = threading.Condition()
        super().__init__((host, port), functools.partial(Connection, desk))

    def process_request(self, request: _Accepted, client_address: object) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Accepted) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def end_connections(self) -> None:
        """Ends all connections, and waits a little until their threads are through."""
        with self._changed:
            for connection in self._open:
                # OSError: the client has gone already.
                with contextlib.suppress(OSError):
                    if isinstance(connection, socket.socket):
                        connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _GRACE_SECONDS)
