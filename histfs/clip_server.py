"""An HTTP server on the loopback interface, from which a player plays clips as they come.

    /TOKEN/             a page with all clips, for a browser
    /TOKEN/N/NAME       the clip with the number N, whatever its name

A clip that is on its way is sent without a length: players begin with the first bytes then, while
with a length some read its end first. Once it is whole, it is sent with its length, and in ranges.

Access: the token is in each path, and the server listens on 127.0.0.1 alone. Other users see the
token among the arguments of the player; with `owner` given, they are refused all the same.

A program may have connected to the `ClipAddress` before it is served. It waits then, so this module
imports little, and not `http.server`, which takes as long as all the others.

Threads: one accepts connections, and each connection has one. They share nothing that changes but
`_Server.stopping`, which ends their waits.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from histfs.clip_address import ClipAddress, clip_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from histfs.core.byte_ranges import ByteRange
    from histfs.core.errors import HistfsError

    class ClipStream(Protocol):
        """A clip that is read as its bytes come, before its size is known."""

        @property
        def whole_size(self) -> int | None:
            """The exact size in bytes once all of them are on this machine; None before."""

        def wait_until_whole(self) -> int:
            """Wait until all bytes are on this machine, and return their number."""

        def read(self, offset: int, size: int) -> bytes:
            """Return bytes at an offset as soon as there is one; none at the end."""

        def close(self) -> None:
            """Release what it holds."""

    class ClipSource(Protocol):
        """What gives the clips: the tree of an account, or a mount."""

        def stream(self, path: str, ended: Callable[[], bool]) -> ClipStream:
            """Open a clip.

            Args:
                path: of the clip.
                ended: says whether all waits end.

            Raises:
                HistfsError: it can't be read; so do the methods of the stream.
            """


#: Bytes that are sent at once, at the most, and bytes that tell a clip's format.
_CHUNK, _HEAD = 64 << 10, 1024
#: The most bytes of a line of a request, and the most lines.
_LINE, _LINES = 8 << 10, 100
#: Seconds until the next attempt after a connection could not be accepted.
_PAUSE = 0.1
_REASONS = {
    200: "OK", 206: "Partial Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 416: "Range Not Satisfiable", 502: "Bad Gateway",
    504: "Gateway Timeout",
}  # fmt: skip
#: Headers of each answer. A page of another origin gets nothing: it doesn't know the token.
_HEADERS = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"


class Clip:
    """A clip that can be played.

    Args:
        path: in the tree, or in the file system.
        name: what a player shows; ends with the extension.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name


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
        address: where; it is closed afterwards.
        source: gives the clips.
        clips: the clips, in the order of their URLs; None for one that isn't there.
        tell: is called with the path of a clip that can't be played, and the error, by any thread.
        owner: the user id of those who may connect; None for any user who knows the token.
    """
    server = _Server(address, source, clips, tell, owner)
    thread = threading.Thread(target=server.run, name="clips", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stopping.set()
        with contextlib.suppress(OSError):
            address.socket.shutdown(socket.SHUT_RDWR)  # ends the wait for a connection
        thread.join()


class _Server:
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
        self._socket = address.socket

    def run(self) -> None:
        """Accept connections until the end."""
        while not self.stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:  # the end, or too many open files
                self.stopping.wait(_PAUSE)
                continue
            # A daemon: a player may keep a connection.
            answer = _Connection(self, connection).serve
            threading.Thread(target=answer, name="clip", daemon=True).start()


class _Malformed(Exception):
    """What has come is no request of HTTP/1."""


class _Connection:
    """Answers the requests of one connection."""

    def __init__(self, server: _Server, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._lines = connection.makefile("rb")
        # Of the request that is answered.
        self._method, self._target, self._headers = "", "", dict[str, str]()
        self._is_old = self._closes = self._began = False

    def serve(self) -> None:
        """Serve the connection to its end; the player may close it at any moment."""
        # A player gets the first bytes of a chunk at once.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._socket, self._lines, contextlib.suppress(ConnectionError):
            try:
                while not self._closes and self._receive():
                    self._answer()
            except _Malformed:
                self._refuse(400)
            except ConnectionError:
                raise
            except Exception:
                import logging  # noqa: PLC0415

                text = "a request of the player failed unexpectedly"
                logging.getLogger(__name__).exception(text)

    def _receive(self) -> bool:
        """Receive the head of a request; return whether there is one."""
        line = self._line()
        if not line:
            return False
        words = line.split()
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise _Malformed
        self._method, self._target, version = words
        self._headers = headers = {}
        for _ in range(_LINES):
            line = self._line()
            if not line.strip():
                break
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        else:
            raise _Malformed
        self._began, self._is_old = False, version == "HTTP/1.0"
        wish = headers.get("connection", "").lower()
        # A body would be taken for the next request; no request here has one.
        has_body = not {"content-length", "transfer-encoding"}.isdisjoint(headers)
        self._closes = self._is_old or wish == "close" or has_body
        return True

    def _line(self) -> str:
        line = self._lines.readline(_LINE)
        if line and not line.endswith(b"\n"):
            raise _Malformed
        return line.decode("latin-1")

    def _answer(self) -> None:
        server = self._server
        _, token, *rest = [*self._target.partition("?")[0].split("/"), ""]
        if self._method not in ("GET", "HEAD"):
            self._refuse(405)
        elif not _is_same(token, server.token):
            self._refuse(404)
        elif server.owner is not None and not self._is_owner(server.owner):
            self._refuse(403)
        elif rest[:1] == [""]:
            self._send_page()
        elif (clip := server.numbered.get(rest[0])) is not None:
            self._send_clip(clip)
        else:
            self._refuse(404)

    def _is_owner(self, owner: int) -> bool:
        from histfs.loopback_peer import peer_uid  # noqa: PLC0415

        return peer_uid(self._socket) in (owner, None)

    def _send_page(self) -> None:
        """Send a page with all clips, of which the first plays at once."""
        import html  # noqa: PLC0415

        players = "".join(
            f"<p>{html.escape(clip.name)}<br>"
            f"<audio controls preload=none src='{clip_place(int(number), clip.name)}'></audio>"
            for number, clip in self._server.numbered.items()
        ).replace("preload=none", "autoplay", 1)
        page = f"<!doctype html><meta charset=utf-8><title>histfs</title>{players}".encode()
        policy = {"Content-Security-Policy": "default-src 'none'; media-src 'self'"}
        self._send_head(200, "text/html; charset=utf-8", policy, length=len(page))
        if self._method != "HEAD":
            self._socket.sendall(page)

    def _send_clip(self, clip: Clip) -> None:
        server, asked = self._server, self._asked_range()
        try:
            stream = server.source.stream(clip.path, server.stopping.is_set)
            with contextlib.closing(stream):
                if asked is not None and not asked.is_all:
                    # Such a request comes from a player that seeks.
                    stream.wait_until_whole()
                self._send_stream(clip, stream, asked)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - see below
            self._fail(clip, error)

    def _fail(self, clip: Clip, error: Exception) -> None:
        """Tell the player and the user that a clip can't be read."""
        from histfs.core.errors import (  # noqa: PLC0415
            DeadlineExceeded,
            HistfsError,
            Missing,
            PathError,
        )

        if not isinstance(error, HistfsError):
            raise error
        self._closes = True
        if not self._server.stopping.is_set():
            self._server.tell(clip.path, error)
        if not self._began:
            is_missing = isinstance(error, PathError | Missing)
            is_late = isinstance(error, DeadlineExceeded)
            self._refuse(404 if is_missing else 504 if is_late else 502)

    def _asked_range(self) -> ByteRange | None:
        header = self._headers.get("range")
        if header is None:
            return None
        from histfs.core.byte_ranges import parse_range  # noqa: PLC0415

        return parse_range(header)

    def _send_stream(self, clip: Clip, stream: ClipStream, asked: ByteRange | None) -> None:
        from histfs.core.media_types import sniffed_type  # noqa: PLC0415

        media_type = sniffed_type(clip.name, stream.read(0, _HEAD))
        size = stream.whole_size
        if size is None:
            self._send_growing(stream, media_type)
            return
        part = range(size) if asked is None else asked.within(size)
        self._send_part(stream, media_type, size, part, is_range=asked is not None)

    def _send_growing(self, stream: ClipStream, media_type: str) -> None:
        """Send a clip as it comes; one that breaks off ends the connection without the end mark."""
        # HTTP/1.0 has no chunks: there the end of the connection is the end of the clip.
        chunked = not self._is_old
        self._send_head(200, media_type, {"Transfer-Encoding": "chunked"} if chunked else {})
        if self._method == "HEAD":
            return
        offset = 0
        while piece := stream.read(offset, _CHUNK):
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            offset += len(piece)
        if chunked:
            self._socket.sendall(b"0\r\n\r\n")

    def _send_part(
        self,
        stream: ClipStream,
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
            self._send_head(416, media_type, ranges, length=0)
            return
        if is_range:
            ranges["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        self._send_head(206 if is_range else 200, media_type, ranges, length=len(part))
        offset = part.start
        while self._method != "HEAD" and offset < part.stop:
            piece = stream.read(offset, min(_CHUNK, part.stop - offset))
            if not piece:
                self._closes = True  # it has become shorter
                return
            self._socket.sendall(piece)
            offset += len(piece)

    def _refuse(self, status: int) -> None:
        """Send an error, and close the connection."""
        self._closes = True
        text = f"{_REASONS[status]}\n".encode()
        self._send_head(status, "text/plain", {}, length=len(text))
        if self._method != "HEAD":
            self._socket.sendall(text)

    def _send_head(
        self, status: int, media_type: str, headers: Mapping[str, str], length: int | None = None
    ) -> None:
        """Send the status line and the headers."""
        self._began = True
        lengths = {} if length is None else {"Content-Length": str(length)}
        closes = {"Connection": "close"} if self._closes else {}
        named = {"Content-Type": media_type, **lengths, **headers, **closes}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        first = f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        self._socket.sendall(f"{first}{lines}{_HEADERS}\r\n".encode("latin-1"))


def _is_same(given: str, token: str) -> bool:
    """Compare a token in a time that does not tell how much of it is right."""
    from hmac import compare_digest  # noqa: PLC0415

    return compare_digest(given.encode("latin-1"), token.encode())
