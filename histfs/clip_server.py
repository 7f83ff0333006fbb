"""An HTTP server on the loopback interface, from which a player plays clips as they come.

    /TOKEN/             a page with all clips, for a browser
    /TOKEN/N/NAME       the clip with the number N, whatever its name

A clip that is on its way is sent without a length: players begin with the first bytes then, while
with a length some read its end first. Once it is whole, it is sent with its length, and in ranges.

Access: the token is in each path, and the server listens on 127.0.0.1 alone. Other users see the
token among the arguments of the player; with `owner` given, they are refused all the same.

A program may have connected to the `ClipAddress` before it is served.

Threads: one accepts connections, and each connection has one. They share nothing that changes but
`_Server.stopping`, which ends their waits.
"""

from __future__ import annotations

import contextlib
import hmac
import html
import logging
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import ClassVar, NamedTuple, Protocol

from histfs.clip_address import ClipAddress, clip_place
from histfs.core.byte_ranges import parse_range
from histfs.core.errors import DeadlineExceeded, HistfsError, Missing, PathError
from histfs.core.media_types import sniffed_type
from histfs.core.nodes import FileStream
from histfs.core.waiting import Waiter
from histfs.loopback_peer import peer_uid

#: Bytes that are sent at once, at the most, and bytes that tell a clip's format.
_CHUNK, _HEAD = 64 << 10, 1024
#: Seconds between two checks of the accepting thread for the end.
_POLL = 0.1

log = logging.getLogger(__name__)


class Clip(NamedTuple):
    """A clip that can be played.

    Attributes:
        path: in the tree, or in the file system.
        name: what a player shows; ends with the extension.
    """

    path: str
    name: str


class ClipSource(Protocol):
    """What gives the clips: the tree of an account, or a mount."""

    @property
    def timeout(self) -> float:
        """Seconds after which a call ends that makes no progress."""

    def stream(self, path: str, waiter: Waiter) -> FileStream:
        """Open a clip to be read as its bytes come, before its size is known.

        Raises:
            HistfsError: it can't be read.
        """


@contextlib.contextmanager
def serve_clips(
    address: ClipAddress,
    source: ClipSource,
    clips: Sequence[Clip | None],
    tell: Callable[[str, HistfsError], None],
    owner: int | None,
) -> Iterator[None]:
    """Serve clips on a port of the loopback interface, until the end of the context.

    Args:
        address: where.
        source: gives the clips.
        clips: the clips, in the order of their URLs; None for one that isn't there.
        tell: is called with the path of a clip that can't be played, and the error, by any thread.
        owner: the user id of those who may connect; None for any user who knows the token.
    """
    server = _Server(address, source, clips, tell, owner)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), name="clips", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not HTTPServer, which looks up the name of the host. A daemon: a player may keep a connection.
    daemon_threads = True

    def __init__(
        self,
        address: ClipAddress,
        source: ClipSource,
        clips: Sequence[Clip | None],
        tell: Callable[[str, HistfsError], None],
        owner: int | None,
    ) -> None:
        self.source = source
        self.numbered = {str(number): clip for number, clip in enumerate(clips) if clip}
        self.tell = tell
        self.owner = owner
        self.token = address.token
        self.stopping = threading.Event()
        super().__init__(address.socket.getsockname(), _Handler, bind_and_activate=False)
        # It made one of its own; the address closes this one.
        self.socket.close()
        self.socket = address.socket

    def waiter(self) -> Waiter:
        """Return the deadline of one wait."""
        return Waiter(self.source.timeout, self.stopping.is_set)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a fault of a handler; the base class prints it."""
        log.exception("a request of the player failed unexpectedly")


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "histfs", ""
    disable_nagle_algorithm = True
    server: _Server
    #: Of each answer. A page of another origin gets nothing: it doesn't know the token.
    _HEADERS: ClassVar = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

    def handle(self) -> None:
        """Serve the connection to its end; the player may close it at any moment."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Send a clip, or the page."""
        self._answer()

    def do_HEAD(self) -> None:
        """Send the headers alone."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the path holds the token."""

    def _answer(self) -> None:
        server, self._began = self.server, False
        _, token, *rest = [*self.path.partition("?")[0].split("/"), ""]
        if not hmac.compare_digest(token.encode(), server.token.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
        elif server.owner is not None and peer_uid(self.connection) not in (server.owner, None):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif rest[:1] == [""]:
            self._send_page()
        elif (clip := server.numbered.get(rest[0])) is not None:
            self._send_clip(clip)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send_page(self) -> None:
        """Send a page with all clips, of which the first plays at once."""
        players = "".join(
            f"<p>{html.escape(clip.name)}<br>"
            f"<audio controls preload=none src='{clip_place(int(number), clip.name)}'></audio>"
            for number, clip in self.server.numbered.items()
        ).replace("preload=none", "autoplay", 1)
        page = f"<!doctype html><meta charset=utf-8><title>histfs</title>{players}".encode()
        policy = {"Content-Security-Policy": "default-src 'none'; media-src 'self'"}
        self._head(HTTPStatus.OK, "text/html; charset=utf-8", policy, length=len(page))
        if self.command != "HEAD":
            self.wfile.write(page)

    def _send_clip(self, clip: Clip) -> None:
        server = self.server
        asked = parse_range(self.headers.get("Range"))
        try:
            with contextlib.closing(server.source.stream(clip.path, server.waiter())) as stream:
                if asked is not None and not asked.is_all:
                    # Such a request comes from a player that seeks.
                    stream.wait_until_whole(server.waiter())
                head = stream.read(0, _HEAD, server.waiter())
                media_type, size = sniffed_type(clip.name, head), stream.whole_size
                if size is None:
                    self._send_growing(stream, media_type)
                    return
                part = range(size) if asked is None else asked.within(size)
                self._send_part(stream, media_type, size, part, is_range=asked is not None)
        except HistfsError as error:
            self.close_connection = True
            if not server.stopping.is_set():
                server.tell(clip.path, error)
            if not self._began:
                self.send_error(_status_of(error))

    def _send_growing(self, stream: FileStream, media_type: str) -> None:
        """Send a clip as it comes; one that breaks off ends the connection without the end mark."""
        # HTTP/1.0 has no chunks: there the end of the connection is the end of the clip.
        chunked = self.request_version == self.protocol_version
        transfer = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
        self._head(HTTPStatus.OK, media_type, transfer)
        self.close_connection = self.close_connection or not chunked
        if self.command == "HEAD":
            return
        offset = 0
        while piece := stream.read(offset, _CHUNK, self.server.waiter()):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            offset += len(piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send_part(
        self,
        stream: FileStream,
        media_type: str,
        size: int,
        part: range | None,
        *,
        is_range: bool,
    ) -> None:
        """Send a clip that is whole, or a range of it."""
        ranges = {"Accept-Ranges": "bytes"}
        if part is None:
            ranges["Content-Range"] = f"bytes */{size}"
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, media_type, ranges, length=0)
            return
        if is_range:
            ranges["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        status = HTTPStatus.PARTIAL_CONTENT if is_range else HTTPStatus.OK
        self._head(status, media_type, ranges, length=len(part))
        offset = part.start
        while self.command != "HEAD" and offset < part.stop:
            piece = stream.read(offset, min(_CHUNK, part.stop - offset), self.server.waiter())
            self.wfile.write(piece)
            offset += len(piece)

    def _head(
        self,
        status: HTTPStatus,
        media_type: str,
        headers: dict[str, str],
        length: int | None = None,
    ) -> None:
        """Send the status line and the headers."""
        self._began = True
        lengths = {} if length is None else {"Content-Length": str(length)}
        self.send_response(status)
        for name, value in {
            "Content-Type": media_type,
            **lengths,
            **headers,
            **self._HEADERS,
        }.items():
            self.send_header(name, value)
        self.end_headers()


def _status_of(error: HistfsError) -> HTTPStatus:
    if isinstance(error, PathError | Missing):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, DeadlineExceeded):
        return HTTPStatus.GATEWAY_TIMEOUT
    return HTTPStatus.BAD_GATEWAY
