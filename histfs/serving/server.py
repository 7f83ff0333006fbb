"""The HTTP server, Cheroot: one address, with or without TLS, until it is told to stop.

Threads: one accepts connections, and a pool of threads answers requests. `_lock` guards the set of
the connections whose request is being answered; nothing else is taken while it is held.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter

from histfs.core.server_url import is_loopback
from histfs.loopback_peer import peer_uid
from histfs.mounting import DirectTree
from histfs.serving.access import PEER_UID, Access, Credentials
from histfs.serving.dav import dav_app
from histfs.serving.entries import served
from histfs.serving.files import Files
from histfs.serving.wsgi import App, Environ, StartResponse

#: Requests that are answered at once; most wait for the account's server.
_THREADS = 32
#: Bytes of a request: its headers, and the body of a PROPFIND.
_HEADERS_MAX, _BODY_MAX = 64 << 10, 256 << 10
#: Seconds that a connection may be silent; that the end may take; and between two connections by
#: which the thread that accepts is told of it.
_IDLE, _STOP, _KNOCK = 60, 2.0, 0.02
#: Seconds that the beginning of TLS may take; connections that are kept for another request.
_HANDSHAKE, _KEPT = 5, 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a tree is served.

    Attributes:
        address: to listen on, without brackets.
        port: to listen on; 0 for a free one.
        credentials: what each request must have; None on loopback alone.
        tls: the files of the certificate, with its chain, and of its key; None without TLS.
        delete: whether DELETE deletes items.
        exact: whether PROPFIND fetches audio for its size; see `dav`.
    """

    address: str
    port: int
    credentials: Credentials | None = None
    tls: tuple[Path, Path] | None = None
    delete: bool = False
    exact: bool = True


def application(tree: DirectTree, options: ServeOptions, front: App | None = None) -> App:
    """Return the WSGI application that serves a tree.

    Args:
        tree: the tree; see also `serving`.
        options: what is allowed.
        front: answers GET and HEAD of ``/`` in place of a page with the names; behind the same
            checks.
    """
    tree = served(tree)
    files = Files(tree)
    dav = dav_app(tree, exact=options.exact, delete=options.delete)

    def dispatch(environ: Environ, start_response: StartResponse) -> Any:  # noqa: ANN401
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return dav(environ, start_response)
        if front is not None and environ["PATH_INFO"] == "/":
            return front(environ, start_response)
        return files(environ, start_response)

    return Access(dispatch, options.credentials, delete=options.delete)


@contextlib.contextmanager
def serving(tree: DirectTree, options: ServeOptions, front: App | None = None) -> Iterator[str]:
    """Serve a tree until the end of the context, which ends the requests that are being answered.

    Args:
        tree: the tree.
        options: how it is served.
        front: see `application`.

    Yields:
        The URL of the root.

    Raises:
        ValueError: other machines could reach it without credentials or TLS.
        OSError: the address can't be listened on; or the certificate or its key can't be used.
    """
    if not is_loopback(options.address) and not (options.credentials and options.tls):
        raise ValueError("other machines need credentials and TLS")
    tree = served(tree)
    server = _Server(options, application(tree, options, front))
    # systemd's: Cheroot would listen on that socket in place of the address that was checked.
    os.environ.pop("LISTEN_PID", None)
    _require_free(options)
    server.prepare()
    accepting = threading.Thread(target=server.serve, name="serve", daemon=True)
    accepting.start()
    address = server.socket.getsockname()[:2]
    try:
        yield server.url
    finally:
        tree.stopping.set()
        server.disconnect()
        # A thread of its own: a client that holds up the end of a TLS connection may delay it.
        ending = threading.Thread(target=server.stop, name="serve-stop", daemon=True)
        ending.start()
        _await_accepting(accepting, address)
        ending.join(_STOP)
        accepting.join(_STOP)


def _await_accepting(thread: threading.Thread, address: tuple[str, int]) -> None:
    """Wait for the end of the thread that accepts, which looks for it with each new connection.

    It looks without one, too, but only twice a second.
    """
    deadline = time.monotonic() + _STOP
    while thread.is_alive() and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=_KNOCK):
            pass
        thread.join(_KNOCK)


def _require_free(options: ServeOptions) -> None:
    """Raise the error that keeps the server from its address; Cheroot's has no errno."""
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    with socket.create_server((options.address, options.port), family=family):
        pass


class _Server(wsgi.Server):
    """Cheroot with the connections that it answers, and its messages in the log.

    Args:
        options: how it serves.
        app: what it serves.
    """

    def __init__(self, options: ServeOptions, app: App) -> None:
        super().__init__(
            (options.address, options.port),
            app,
            numthreads=_THREADS,
            server_name="histfs",
            request_queue_size=128,
            timeout=_IDLE,
            shutdown_timeout=1,
        )
        self.software = "histfs"
        self.gateway = _Gateway
        self.ConnectionClass = _Connection
        self.keep_alive_conn_limit = _KEPT
        self.max_request_header_size = _HEADERS_MAX
        self.max_request_body_size = _BODY_MAX
        self._options = options
        self._lock = threading.Lock()
        self._answering: set[socket.socket] = set()
        self._ended = False
        if options.tls is not None:
            self.ssl_adapter = _LateHandshake(*map(str, options.tls))
            self.ssl_adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def url(self) -> str:
        """The URL of the root."""
        host, port = self.socket.getsockname()[:2]
        scheme = "http" if self._options.tls is None else "https"
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"

    @contextlib.contextmanager
    def answering(self, connection: socket.socket) -> Iterator[None]:
        """Count a connection as one that `disconnect` has to end."""
        with self._lock:
            self._answering.add(connection)
            if self._ended:
                _shut_down(connection)
        try:
            yield
        finally:
            with self._lock:
                self._answering.discard(connection)

    def disconnect(self) -> None:
        """End the connections that are being answered, now and from now on."""
        with self._lock:
            self._ended = True
            for connection in self._answering:
                _shut_down(connection)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log a message; a client that goes away, or speaks no TLS, is none of the user's."""
        is_fault = level >= logging.ERROR
        log.log(logging.ERROR if is_fault else logging.DEBUG, "%s", msg, exc_info=traceback)


class _LateHandshake(BuiltinSSLAdapter):
    """Leaves the handshake to `_Connection`: the thread that accepts must not wait for a client."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class _Connection(HTTPConnection):
    """A connection, which holds no thread of the pool before its client has sent anything."""

    _is_new = True

    def communicate(self) -> bool:
        """Answer a request; return whether the connection is kept for another one."""
        with self.server.answering(self.socket):
            if self._is_new:
                if not _has_data(self.socket):
                    return True  # browsers open connections that they may use later
                self._is_new = False
                if not self._shake_hands():
                    return False
            return bool(super().communicate())  # type: ignore[no-untyped-call]

    def _shake_hands(self) -> bool:
        if not isinstance(self.socket, ssl.SSLSocket):
            return True
        try:
            self.socket.settimeout(_HANDSHAKE)
            self.socket.do_handshake()
            self.socket.settimeout(_IDLE)
        except OSError as error:
            log.debug("no TLS: %s", error)
            return False
        return True


def _has_data(connection: socket.socket) -> bool:
    ready = select.poll()
    ready.register(connection, select.POLLIN)
    return bool(ready.poll(0))


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # An `SSLSocket` would drop its TLS, which the thread that answers may be about to use.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Gateway(wsgi.Gateway_10):
    """Makes the environ of a request."""

    def get_environ(self) -> Environ:  # type: ignore[override] # Cheroot's types are incomplete
        environ: Environ = super().get_environ()  # type: ignore[no-untyped-call]
        environ[PEER_UID] = _peer_uid(self.req.conn.socket)
        return environ


def _peer_uid(connection: socket.socket) -> int | None:
    try:
        return peer_uid(connection)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        return None  # it has gone away
