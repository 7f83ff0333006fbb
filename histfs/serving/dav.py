"""The tree by WebDAV, class 1 (RFC 4918): PROPFIND, OPTIONS and DELETE, by WsgiDAV.

A client that copies believes the sizes of PROPFIND. So PROPFIND of a file, or of an item's
directory, fetches audio whose size is not known, if its size is asked for: one clip for a request.
Other listings fetch nothing, those of ``listen`` included. With ``exact`` off it never does: an
entry without a known size has no ``getcontentlength``. Depth: infinity is refused, as the RFC
allows: it would fetch, or leave out the sizes of, a whole history.

Threads: any number; each request has its own resources. There are no locks and no properties that
a client could store.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

from wsgidav import util
from wsgidav.dav_error import DAVError, PRECONDITION_CODE_PropfindFiniteDepth
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
    with_size,
)
from histfs.serving.errors import status_of
from histfs.serving.wsgi import COMMON_HEADERS, App, Environ, StartResponse

_NAMES = ("resourcetype", "creationdate", "getlastmodified", "displayname")
_FILE_NAMES = (*_NAMES, "getcontenttype", "getcontentlength", "getetag")
_SPACE = "{DAV:}"


def dav_app(tree: ServedTree, *, exact: bool, delete: bool) -> App:
    """Return the WSGI application for WebDAV's methods.

    Args:
        tree: what is served.
        exact: whether audio is fetched for its size.
        delete: whether items can be deleted.
    """
    # It logs an error for what a client does wrong, at the level of what it does wrong itself.
    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    # The prefix that some clients look for, in place of the namespace.
    ET.register_namespace("D", "DAV:")
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": _Provider(tree, exact=exact, delete=delete)},
            "middleware_stack": [ErrorPrinter, RequestResolver],
            "http_authenticator": {"accept_basic": False, "accept_digest": False},
            "lock_storage": False,
            "property_manager": None,
            "suppress_version_info": True,
            "verbose": 1,
        }
    )

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgidav.auth.user_name"] = ""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ANN401
            own = {name.lower() for name, _ in headers}
            more = [each for each in COMMON_HEADERS.items() if each[0].lower() not in own]
            return start_response(status, [*headers, *more], exc_info)

        answered: Iterable[bytes] = app(environ, start)
        return answered

    return call


@contextlib.contextmanager
def _dav_errors() -> Iterator[None]:
    """Raise errors of the tree as WsgiDAV's."""
    try:
        yield
    except HistfsError as error:
        raise DAVError(status_of(error).value, str(error)) from error


class _Provider(DAVProvider):  # type: ignore[misc] # WsgiDAV has no types
    """The tree as WsgiDAV asks for it."""

    def __init__(self, tree: ServedTree, *, exact: bool, delete: bool) -> None:
        super().__init__()
        self.tree = tree
        self.exact = exact
        self._delete = delete

    def is_readonly(self) -> bool:
        return not self._delete

    def get_resource_inst(self, path: str | None, environ: Environ) -> _File | _Directory | None:
        if path is None:
            return None  # the parent of the root
        try:
            with _dav_errors():
                return self.resource(find(self.tree, path), environ, is_named=True)
        except DAVError as error:
            if isinstance(error.__cause__, PathError):
                return None
            raise

    def resource(self, entry: Entry, environ: Environ, *, is_named: bool) -> _File | _Directory:
        if entry.is_directory:
            return _Directory(entry, environ)
        return _File(entry, environ, is_named=is_named)

    def custom_request_handler(
        self,
        environ: Environ,
        start_response: StartResponse,
        default_handler: App,
    ) -> Iterable[bytes]:
        depth = environ.get("HTTP_DEPTH", "infinity")
        if environ["REQUEST_METHOD"] == "PROPFIND" and depth == "infinity":
            raise DAVError(403, err_condition=PRECONDITION_CODE_PropfindFiniteDepth)
        return default_handler(environ, start_response)


class _Properties:
    """The properties of a file or a directory, and its deletion."""

    provider: _Provider
    entry: Entry

    def get_property_names(self, *, is_allprop: bool) -> list[str]:
        names = [_SPACE + name for name in (_NAMES if self.entry.is_directory else _FILE_NAMES)]
        # One that isn't known is left out, where it wasn't asked for by its name.
        return [name for name in names if name[len(_SPACE) :] != "getetag" or self._tag()]

    def get_property_value(self, name: str) -> Any:  # noqa: ANN401 - text, or an element
        with _dav_errors():
            if name == "{DAV:}getetag" and (tag := self._tag()) is not None:
                return tag
            return super().get_property_value(name)  # type: ignore[misc]

    def get_creation_date(self) -> int:
        return self.entry.mtime

    def get_last_modified(self) -> int:
        return self.entry.mtime

    def get_display_name(self) -> str:
        return self.entry.name

    def get_etag(self) -> str | None:
        """Return the tag as WsgiDAV compares it: without its quotes."""
        tag = self._tag()
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

    def _tag(self) -> str | None:
        return entity_tag(self.provider.tree, self.entry)


class _File(_Properties, DAVNonCollection):  # type: ignore[misc]
    """A file.

    Args:
        entry: what it is.
        environ: of the request.
        is_named: whether the request names it, or else the directory that holds it.
    """

    def __init__(self, entry: Entry, environ: Environ, *, is_named: bool) -> None:
        super().__init__(entry.path, environ)
        self.entry = entry
        self._is_named = is_named

    def get_content_length(self) -> int | None:
        if self.provider.exact and self._is_named:
            with _dav_errors():
                self.entry = with_size(self.provider.tree, self.entry)
        return self.entry.size

    def get_content_type(self) -> str:
        return media_type(self.entry.home)

    def get_content(self) -> Any:  # noqa: ANN401
        raise DAVError(405)  # GET is answered elsewhere

    def support_ranges(self) -> bool:
        return True


class _Directory(_Properties, DAVCollection):  # type: ignore[misc]
    """A directory, or a link to one."""

    def __init__(self, entry: Entry, environ: Environ) -> None:
        super().__init__(entry.path, environ)
        self.entry = entry

    def get_member_list(self) -> list[_File | _Directory]:
        with _dav_errors():
            listing = sized_entries_of if self.provider.exact else entries_of
            entries = list(listing(self.provider.tree, self.entry))
        return [self.provider.resource(entry, self.environ, is_named=False) for entry in entries]

    def get_member_names(self) -> list[str]:
        return [util.get_uri_name(each.path) for each in self.get_member_list()]
