"""Files, and pages of directories, by HTTP: GET and HEAD, ranges and conditions (RFC 9110).

- GET of audio that is not on this machine sends its bytes as they come: with ``Content-Length`` if
  the exact size is known, else in chunks. If it breaks off, so does the connection.
- A range, and an answer by HTTP/1.0, needs the whole size: it waits for all of the audio.
- HEAD fetches nothing: it has a length where that is known.

Threads: any number; each request has its own open file.
"""

from __future__ import annotations

import contextlib
import email.utils
import errno
import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from urllib.parse import quote

from histfs.core.byte_ranges import parse_range
from histfs.core.errors import HistfsError
from histfs.core.media_types import UNKNOWN_TYPE, media_type, sniffed_type
from histfs.core.name_forms import is_audio_name
from histfs.serving.entries import Entry, ServedTree, entity_tag, entries_of, find
from histfs.serving.errors import status_of
from histfs.serving.page import PAGE_POLICY, directory_page
from histfs.serving.wsgi import Environ, StartResponse, answer, begin, path_of

_CHUNK = 64 << 10
_Read = Callable[[int, int], bytes]

log = logging.getLogger(__name__)


class Files:
    """Answers GET and HEAD. A WSGI application.

    Args:
        tree: what is served.
    """

    def __init__(self, tree: ServedTree) -> None:
        self._tree = tree

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = path_of(environ)
        try:
            entry = find(self._tree, path)
            if not entry.is_directory:
                return self._file(environ, start_response, entry)
            if path.endswith("/"):
                return self._page(environ, start_response, entry)
            # The links of a page are relative. One slash: two would begin the name of a host.
            place = f"/{quote(path.strip('/'), errors='surrogateescape')}/"
            moved = HTTPStatus.MOVED_PERMANENTLY
            return answer(environ, start_response, moved, headers={"Location": place})
        except HistfsError as error:
            return answer(environ, start_response, status_of(error), str(error))

    def _page(
        self, environ: Environ, start_response: StartResponse, directory: Entry
    ) -> Iterable[bytes]:
        # All of it, or an error.
        entries = list(entries_of(self._tree, directory))
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": PAGE_POLICY,
        }
        begin(start_response, HTTPStatus.OK, headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return directory_page(directory.path, entries, self._tree.zone)

    def _file(
        self, environ: Environ, start_response: StartResponse, entry: Entry
    ) -> Iterable[bytes]:
        tree = self._tree
        tag, headers = entity_tag(tree, entry), _headers(entry)
        if tag is not None:
            headers["ETag"] = tag
        unchanged = _condition(environ, tag, entry.mtime)
        if unchanged is not None:
            return answer(environ, start_response, unchanged, headers=headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            if entry.size is not None:
                headers |= {"Content-Length": str(entry.size), "Accept-Ranges": "bytes"}
            begin(start_response, HTTPStatus.OK, headers)
            return []
        asked = parse_range(environ.get("HTTP_RANGE"))
        if asked is not None and not _is_same_file(environ, tag, entry.mtime):
            asked = None
        # HTTP/1.0 has no chunks: the end of the connection would be the end of the file.
        has_chunks = environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
        if entry.size is None and has_chunks and (asked is None or asked.is_all):
            return self._stream(start_response, entry, headers)
        _, file = tree.filesystem.open(entry.home, tree.waiter())
        with contextlib.ExitStack() as opened:
            opened.callback(file.close)
            size = file.size
            part = range(size) if asked is None else asked.within(size)
            if part is None:
                headers = {"Content-Range": f"bytes */{size}"}
                wrong = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                return answer(environ, start_response, wrong, headers=headers)

            def read(offset: int, length: int) -> bytes:
                return file.read(offset, length, tree.waiter())

            # Read before the answer begins: an error is a status then.
            first = read(part.start, min(_CHUNK, len(part)))
            headers |= {"Content-Length": str(len(part)), "Accept-Ranges": "bytes"}
            status = HTTPStatus.OK
            if asked is not None:
                status = HTTPStatus.PARTIAL_CONTENT
                headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
            begin(start_response, status, headers)
            bounds = (part.start, part.stop)
            return _body(entry, first, read, bounds, opened.pop_all())

    def _stream(
        self, start_response: StartResponse, entry: Entry, headers: dict[str, str]
    ) -> Iterable[bytes]:
        """Send a file as it comes; its length is told only if all of it is here."""
        tree = self._tree
        stream = tree.filesystem.stream(entry.home, tree.waiter())
        with contextlib.ExitStack() as opened:
            opened.callback(stream.close)

            def read(offset: int, length: int) -> bytes:
                return stream.read(offset, length, tree.waiter())

            first, size = read(0, _CHUNK), stream.whole_size
            if is_audio_name(entry.home.rpartition("/")[2]):
                headers["Content-Type"] = sniffed_type(entry.home, first)
            if size is not None:
                headers |= {"Content-Length": str(size), "Accept-Ranges": "bytes"}
            begin(start_response, HTTPStatus.OK, headers)
            return _body(entry, first, read, (0, size), opened.pop_all())


def _body(
    entry: Entry,
    first: bytes,
    read: _Read,
    bounds: tuple[int, int | None],
    opened: contextlib.ExitStack,
) -> Iterator[bytes]:
    """Yield the bytes of a file, and close it.

    Args:
        entry: the file.
        first: the first bytes that are sent.
        read: returns bytes at an offset, none at the end.
        bounds: the offset of the first byte, and that after the last one; None for the end.
        opened: closes the file.

    Raises:
        ConnectionAbortedError: it breaks off; the server closes the connection, and the client
            sees that there is more.
    """
    with opened:
        (offset, stop), piece = bounds, first
        while piece:
            yield piece
            offset += len(piece)
            if offset == stop:
                return
            try:
                piece = read(offset, _CHUNK if stop is None else min(_CHUNK, stop - offset))
            except HistfsError as error:
                log.warning("%s breaks off: %s", entry.path, error)
                raise ConnectionAbortedError(errno.ECONNABORTED, "broken off") from error


def _headers(entry: Entry) -> dict[str, str]:
    kind = media_type(entry.home)
    headers = {
        "Content-Type": kind,
        "Last-Modified": email.utils.formatdate(entry.mtime, usegmt=True),
    }
    if kind == UNKNOWN_TYPE:
        # An attachment may hold anything: nothing of it runs in a browser.
        headers |= {"Content-Disposition": "attachment", "Content-Security-Policy": "sandbox"}
    return headers


def _condition(environ: Environ, tag: str | None, mtime: int) -> HTTPStatus | None:
    """Return the status of a request whose condition is not met; None for one that is."""
    wanted = environ.get("HTTP_IF_MATCH")
    if wanted is not None and not _lists(wanted, tag, strong=True):
        return HTTPStatus.PRECONDITION_FAILED
    known = environ.get("HTTP_IF_NONE_MATCH")
    if known is not None:
        return HTTPStatus.NOT_MODIFIED if _lists(known, tag, strong=False) else None
    since = _moment(environ.get("HTTP_IF_MODIFIED_SINCE"))
    return HTTPStatus.NOT_MODIFIED if since is not None and mtime <= since else None


def _lists(header: str, tag: str | None, *, strong: bool) -> bool:
    """Say whether a list of entity tags has one."""
    if header.strip() == "*":
        return True
    if tag is None or (strong and tag.startswith("W/")):
        return False
    listed = [each.strip() for each in header.split(",")]
    if not strong:
        listed = [each.removeprefix("W/") for each in listed]
    return tag.removeprefix("W/") in listed


def _is_same_file(environ: Environ, tag: str | None, mtime: int) -> bool:
    """Say whether a range is of the file that the client knows (If-Range)."""
    known = environ.get("HTTP_IF_RANGE")
    if known is None:
        return True
    if '"' in known:
        return _lists(known, tag, strong=True)
    return _moment(known) == mtime


def _moment(header: str | None) -> int | None:
    """Return an HTTP date in seconds since the epoch; None for none."""
    if header is None:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(header).timestamp())
    except (ValueError, OverflowError):
        return None
