"""Assemble the simulator; start and stop its server.

Threads: one listens, and each connection has its own (`connection`). `_Listener._changed` guards
the set of open connections; no other lock is taken while it is held.
"""

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
from histfs.simulator.conversations_api import ConversationsApi
from histfs.simulator.fault_injection import Faults
from histfs.simulator.history_api import HistoryApi
from histfs.simulator.history_store import HistoryStore
from histfs.simulator.key_access import Access
from histfs.simulator.request_counts import RequestCounts, RequestRecord
from histfs.simulator.routing import Router
from histfs.simulator.shared_link import SharedLink
from histfs.simulator.simulator_settings import Pace, SimulatorSettings
from histfs.simulator.text_search_api import TextSearchApi

_POLL_SECONDS = 0.02
# How long `stop` waits for the threads of open connections.
_GRACE_SECONDS = 2.0

# The base class's type of a request; the second form is for datagrams and does not occur here.
_Accepted = socket.socket | tuple[bytes, socket.socket]


class Simulator:
    """A server for the API, in threads of this process.

    Use it as a context manager, or call `start` and `stop`. The constructor opens the listening
    socket; only `start` creates threads, so a process may fork in between and serve in the child.
    Any thread may use the attributes while it serves.

    Attributes:
        api_key: The account's key.
        library: The items; add and remove some here as a user of the web page would.
        conversations: The conversations; add, remove and end some here.
        counts: The counters and the log of requests.
        concurrency: The limit of requests in flight, and the number of refused ones.
        faults: The faults in force.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        *,
        on_request: Callable[[RequestRecord], None] = lambda record: None,
    ) -> None:
        """Create the stores and open the listening socket.

        Args:
            settings: The configuration; None is the default.
            on_request: Called with each request when its answer begins, by the thread of its
                connection.

        Raises:
            OSError: The address is not available.
        """
        settings = settings or SimulatorSettings()
        self._host = settings.host
        self.api_key = settings.api_key
        self.library = HistoryStore(settings)
        self.conversations = ConversationStore(settings)
        self.counts = RequestCounts()
        self.concurrency = Concurrency(settings.max_concurrent, settings.concurrency_headers)
        self.faults = Faults()
        self._pace = Pace(
            latency=settings.latency, bandwidth=settings.bandwidth, chunked=settings.chunked
        )
        self._stopping = threading.Event()
        access = Access(settings.api_key, settings.limited_keys, settings.permissions)
        self._access = access
        control = ControlApi(
            self.library, counts=self.counts, concurrency=self.concurrency, faults=self.faults
        )
        search = TextSearchApi(self.conversations, access)
        routes = [
            *HistoryApi(self.library, access, settings).routes(),
            *(search.routes() if settings.text_search else ()),
            *ConversationsApi(self.conversations, access, files=settings.attachments).routes(),
            *control.routes(),
        ]
        context = ServerContext(
            Router(routes),
            access,
            self.counts,
            self.concurrency,
            self.faults,
            self._pace,
            SharedLink(settings.shared_bandwidth),
            self._stopping,
            on_request,
        )
        self._listener = _Listener(settings.host, settings.port, context)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Simulator:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Start to answer; requests that arrived before have waited in the socket's backlog."""
        self._thread = threading.Thread(
            target=self._listener.serve_forever,
            args=(_POLL_SECONDS,),
            name="simulator",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, close all connections and wait for their threads."""
        self._stopping.set()
        if self._thread:
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.end_connections()

    @property
    def base_url(self) -> str:
        """The base URL for clients, without a trailing slash."""
        host = self._host
        port = self._listener.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def permissions(self) -> frozenset[str] | None:
        """The permissions of the account's key, such as "convai_read"; None is all of them."""
        return self._access.permissions

    @permissions.setter
    def permissions(self, permissions: frozenset[str] | None) -> None:
        self._access.permissions = permissions

    @property
    def latency(self) -> float:
        """The delay of each answer, in seconds."""
        return self._pace.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._pace.latency = seconds

    @property
    def bandwidth(self) -> float | None:
        """The rate of each answer, in bytes per second; None is unlimited."""
        return self._pace.bandwidth

    @bandwidth.setter
    def bandwidth(self, rate: float | None) -> None:
        self._pace.bandwidth = rate

    @property
    def chunked(self) -> bool:
        """Whether audio is sent chunked, without Content-Length."""
        return self._pace.chunked

    @chunked.setter
    def chunked(self, chunked: bool) -> None:
        self._pace.chunked = chunked


class _Listener(socketserver.ThreadingTCPServer):
    """Accept connections, and keep the set of open ones."""

    allow_reuse_address = True
    daemon_threads = True
    # The base class would wait without bound; `end_connections` does not.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, context: ServerContext) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self._open: set[_Accepted] = set()
        self._changed = threading.Condition()
        super().__init__((host, port), functools.partial(Connection, context))

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
        """Close all connections, and wait up to `_GRACE_SECONDS` for their threads."""
        with self._changed:
            for connection in self._open:
                # OSError: the client has closed it already.
                with contextlib.suppress(OSError):
                    if isinstance(connection, socket.socket):
                        connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _GRACE_SECONDS)
