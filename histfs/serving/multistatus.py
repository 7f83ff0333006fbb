"""The answer of PROPFIND (RFC 4918, section 14): a response for each entry, written as they come.

Memory holds a few of them, however large a directory is.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from histfs.core.media_types import media_type
from histfs.serving.entries import Entry

LENGTH = "{DAV:}getcontentlength"
_TAG = "{DAV:}getetag"
_BEGIN = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">'
_END = "</D:multistatus>\n"
#: Characters that are written at once.
_PART = 64 << 10
#: The characters that some clients want as they are in a path: ``%28`` stops Nautilus.
_SAFE = "/!*'(),$-_."


def _created(entry: Entry) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.mtime))


#: The properties of each entry, and what files have beside them: XML, or None.
_COMMON: dict[str, Callable[[Entry], str | None]] = {
    "{DAV:}resourcetype": lambda entry: "<D:collection/>" if entry.is_directory else "",
    "{DAV:}creationdate": _created,
    "{DAV:}getlastmodified": lambda entry: email.utils.formatdate(entry.mtime, usegmt=True),
    "{DAV:}displayname": lambda entry: escape(entry.name),
}
_OF_FILES: dict[str, Callable[[Entry], str | None]] = {
    "{DAV:}getcontenttype": lambda entry: media_type(entry.home),
    LENGTH: lambda entry: None if entry.size is None else str(entry.size),
}


def multistatus(
    entries: Iterable[Entry],
    asked: Collection[str] | None,
    tag_of: Callable[[Entry], str | None],
    *,
    values: bool = True,
) -> Iterator[bytes]:
    """Yield the body of an answer.

    Args:
        entries: what it is about.
        asked: the names of the properties that were asked for; None for all.
        tag_of: returns the entity tag of a file.
        values: whether the properties have their values, or only their names.
    """
    written, size = [_BEGIN], 0
    for entry in entries:
        response = _response(entry, asked, tag_of, values=values)
        written.append(response)
        size += len(response)
        if size > _PART:
            yield _encoded(written)
            written, size = [], 0
    yield _encoded([*written, _END])


def _encoded(texts: list[str]) -> bytes:
    return "".join(texts).encode("utf-8", "replace")


def _response(
    entry: Entry,
    asked: Collection[str] | None,
    tag_of: Callable[[Entry], str | None],
    *,
    values: bool,
) -> str:
    has = _COMMON if entry.is_directory else _COMMON | _OF_FILES
    found, missing = [], []
    for name in (*has, _TAG) if asked is None else asked:
        if name == _TAG:
            tag = None if entry.is_directory else tag_of(entry)
            value = None if tag is None else escape(tag)
        else:
            value = has[name](entry) if name in has else None
        if value is not None:
            found.append(_element(name, value if values else ""))
        elif asked is not None:
            missing.append(_element(name, ""))
    slash = "/" if entry.is_directory and entry.path != "/" else ""
    href = escape(quote(entry.path, safe=_SAFE, errors="surrogateescape"))
    parts = [_status(found, "200 OK")] if found or not missing else []
    parts += [_status(missing, "404 Not Found")] if missing else []
    return f"<D:response><D:href>{href}{slash}</D:href>{''.join(parts)}</D:response>\n"


def _status(elements: list[str], status: str) -> str:
    properties = "".join(elements)
    return (
        f"<D:propstat><D:prop>{properties}</D:prop>"
        f"<D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )


def _element(name: str, content: str) -> str:
    """Return an element; its name is as ElementTree has it, with the namespace in braces."""
    if name.startswith("{DAV:}"):
        tag = f"D:{name[6:]}"
        return f"<{tag}>{content}</{tag}>" if content else f"<{tag}/>"
    space, _, local = name.removeprefix("{").rpartition("}")
    return f"<{local} xmlns={quoteattr(space)}/>"
