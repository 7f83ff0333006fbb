"""The tree by WebDAV, class 1 (RFC 4918): PROPFIND, OPTIONS and DELETE, with WsgiDAV.

A client that copies believes the sizes of PROPFIND. So PROPFIND of a file, or of an item's
directory, fetches audio whose size is not known, if its size is asked for: one clip for a request.
Other listings fetch nothing, those of ``listen`` included. With ``exact`` off it never does: an
entry without a known size has no ``getcontentlength``. Depth: infinity is refused, as the RFC
allows: it would fetch, or leave out the sizes of, a whole history.

WsgiDAV reads the requests, and answers all but PROPFIND: it would hold an answer in memory, some
20 KB for each entry of a directory.

Threads: any number; each request has its own resources. There are no locks and no properties that
a client could store.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from wsgidav import util
from wsgidav.dav_error import DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider
from wsgidav.error_printer import ErrorPrinter
from wsgidav.request_resolver import RequestResolver
from wsgidav.wsgidav_app import WsgiDAVApp

from histfs.core.errors import HistfsError, PathError
from histfs.core.media_types import media_type
from histfs.serving.entries import (
    Entry,
    ServedTree,
    entity_tag,
    entries_of,
    find,
    sized_entries_of,
    try_size,
)
from histfs.serving.errors import status_of
from histfs.serving.multistatus import LENGTH, multistatus
from histfs.serving.wsgi import COMMON_HEADERS, App, Environ, StartResponse, answer, begin, path_of

_FINITE = '<?xml version="1.0"?><D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>'

log = logging.getLogger(__name__)


def dav_app(tree: ServedTree, *, exact: bool, delete: bool) -> App:
    """Return the WSGI application for WebDAV's methods.

    Args:
        tree: what is served.
        exact: whether audio is fetched for its size.
        delete: whether items can be deleted.
    """
    # It logs an error for what a client does wrong, at the level of what it does wrong itself.
    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": _Provider(tree, delete=delete)},
            "middleware_stack": [ErrorPrinter, RequestResolver],
            "http_authenticator": {"accept_basic": False, "accept_digest": False},
            "lock_storage": False,
            "property_manager": None,
            "suppress_version_info": True,
            "verbose": 1,
        }
    )
    propfind = _Propfind(tree, exact=exact)

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PROPFIND":
            return propfind(environ, start_response)
        environ["wsgidav.auth.user_name"] = ""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ANN401
            own = {name.lower() for name, _ in headers}
            more = [each for each in COMMON_HEADERS.items() if each[0].lower() not in own]
            return start_response(status, [*headers, *more], exc_info)

        answered: Iterable[bytes] = app(environ, start)
        return answered

    return call


class _Propfind:
    """Answers PROPFIND. A WSGI application."""

    def __init__(self, tree: ServedTree, *, exact: bool) -> None:
        self._tree = tree
        self._exact = exact

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        depth = environ.get("HTTP_DEPTH", "infinity").strip().lower()
        try:
            asked, values = _asked(environ)
            if depth not in ("0", "1", "infinity"):
                raise DAVError(HTTPStatus.BAD_REQUEST)
            entry = find(self._tree, path_of(environ))
            if depth == "infinity" and entry.is_directory:
                kind = {"Content-Type": "application/xml; charset=utf-8"}
                return answer(environ, start_response, HTTPStatus.FORBIDDEN, _FINITE, kind)
            needs_size = self._exact and values and (asked is None or LENGTH in asked)
            entries = self._entries(entry, needs_size=needs_size, below=depth == "1")
            # Read before the answer begins: an error is a status then.
            first = list(itertools.islice(entries, 2))
        except DAVError as error:
            return answer(environ, start_response, HTTPStatus(error.value))
        except HistfsError as error:
            return answer(environ, start_response, status_of(error), str(error))
        kind = {"Content-Type": "application/xml; charset=utf-8"}
        begin(start_response, HTTPStatus.MULTI_STATUS, kind)
        return self._body(itertools.chain(first, entries), asked, values=values)

    def _entries(self, entry: Entry, *, needs_size: bool, below: bool) -> Iterator[Entry]:
        yield try_size(self._tree, entry) if needs_size else entry
        if below and entry.is_directory:
            yield from (sized_entries_of if needs_size else entries_of)(self._tree, entry)

    def _body(
        self, entries: Iterable[Entry], asked: Collection[str] | None, *, values: bool
    ) -> Iterator[bytes]:
        try:
            yield from multistatus(
                entries, asked, lambda entry: entity_tag(self._tree, entry), values=values
            )
        except HistfsError as error:
            # The client sees that there is more, and takes no part for the whole.
            log.warning("a listing breaks off: %s", error)
            raise ConnectionAbortedError(errno.ECONNABORTED, "broken off") from error


def _asked(environ: Environ) -> tuple[list[str] | None, bool]:
    """Return the names of the properties that are asked for, None for all; and if with values.

    Raises:
        DAVError: the body is no such question.
    """
    body = environ["wsgi.input"].read()
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    question = util.parse_xml_body(environ, allow_empty=True)
    if question is None:
        return None, True
    if question.tag != "{DAV:}propfind":
        raise DAVError(HTTPStatus.BAD_REQUEST)
    parts = {part.tag: part for part in question}
    if len(parts.keys() & {"{DAV:}prop", "{DAV:}allprop", "{DAV:}propname"}) != 1:
        raise DAVError(HTTPStatus.BAD_REQUEST)
    if "{DAV:}prop" in parts:
        return list(dict.fromkeys(each.tag for each in parts["{DAV:}prop"])), True
    return None, "{DAV:}allprop" in parts


@contextlib.contextmanager
def _dav_errors() -> Iterator[None]:
    """Raise errors of the tree as WsgiDAV's."""
    try:
        yield
    except HistfsError as error:
        raise DAVError(status_of(error).value, str(error)) from error


class _Provider(DAVProvider):  # type: ignore[misc] # WsgiDAV has no types
    """The tree as WsgiDAV asks for it."""

    def __init__(self, tree: ServedTree, *, delete: bool) -> None:
        super().__init__()
        self.tree = tree
        self._delete = delete

    def is_readonly(self) -> bool:
        return not self._delete

    def get_resource_inst(self, path: str | None, environ: Environ) -> _File | _Directory | None:
        if path is None:
            return None  # the parent of the root
        try:
            with _dav_errors():
                entry = find(self.tree, path)
        except DAVError as error:
            if isinstance(error.__cause__, PathError):
                return None
            raise
        return (_Directory if entry.is_directory else _File)(entry, environ)


class _Resource:
    """What a request other than PROPFIND needs of a file or a directory."""

    provider: _Provider
    entry: Entry

    def get_last_modified(self) -> int:
        return self.entry.mtime

    def get_etag(self) -> str | None:
        """Return the tag as WsgiDAV compares it: without its quotes."""
        tag = entity_tag(self.provider.tree, self.entry)
        return None if tag is None else tag.removeprefix("W/").strip('"')

    def support_etag(self) -> bool:
        return not self.entry.is_directory

    def handle_delete(self) -> bool:
        tree, home = self.provider.tree, self.entry.home
        with _dav_errors():
            if not self.entry.is_directory:
                # As in a mount: the audio deletes the item, another file is hidden.
                tree.filesystem.unlink(home, tree.waiter())
            elif next(iter(tree.listdir(home)), None) is None:
                tree.filesystem.rmdir(home, tree.waiter())
            else:
                tree.delete(home)
        return True


class _File(_Resource, DAVNonCollection):  # type: ignore[misc]
    """A file."""

    def __init__(self, entry: Entry, environ: Environ) -> None:
        super().__init__(entry.path, environ)
        self.entry = entry

    def get_content_length(self) -> int | None:
        return self.entry.size

    def get_content_type(self) -> str:
        return media_type(self.entry.home)

    def get_content(self) -> Any:  # noqa: ANN401
        raise DAVError(HTTPStatus.METHOD_NOT_ALLOWED)  # GET is answered elsewhere

    def support_ranges(self) -> bool:
        return True


class _Directory(_Resource, DAVCollection):  # type: ignore[misc]
    """A directory, or a link to one."""

    def __init__(self, entry: Entry, environ: Environ) -> None:
        super().__init__(entry.path, environ)
        self.entry = entry

    def get_member_names(self) -> list[str]:
        with _dav_errors():
            return [each.name for each in entries_of(self.provider.tree, self.entry)]
