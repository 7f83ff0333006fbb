"""The answer of PROPFIND (RFC 4918, section 14): a response for each entry, written as they come.

Memory holds a few of them, however large a directory is.
"""

from __future__ import annotations

import email.utils
import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from histfs.core.media_types import media_type
from histfs.core.times import utc_text
from histfs.serving.entries import Entry

LENGTH = "{DAV:}getcontentlength"
_TAG = "{DAV:}getetag"
_BEGIN = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">'
_END = "</D:multistatus>\n"
#: Characters that are written at once.
_PART = 64 << 10
#: The bytes that are not as they are in a path; some clients want more so: ``%28`` stops Nautilus.
_UNSAFE = re.compile(rb"[^A-Za-z0-9/!*'(),$_.~-]")


def _modified(entry: Entry) -> str:
    """Return the time as HTTP has it, such as ``Thu, 02 May 2024 11:45:06 GMT``."""
    text = utc_text(entry.mtime)
    return f"{_day(text[:10])} {text[11:19]} GMT"


@functools.lru_cache(256)  # what a directory holds is often of one day
def _day(text: str) -> str:
    date = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    return email.utils.format_datetime(date, usegmt=True)[:16]


#: The properties of each entry, and what files have beside them: XML, or None.
_COMMON: dict[str, Callable[[Entry], str | None]] = {
    "{DAV:}resourcetype": lambda entry: "<D:collection/>" if entry.is_directory else "",
    "{DAV:}creationdate": lambda entry: utc_text(entry.mtime),
    "{DAV:}getlastmodified": _modified,
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
    directories = _Responses(_COMMON, asked, values=values)
    of_files = {**_COMMON, **_OF_FILES, _TAG: lambda entry: _escaped(tag_of(entry))}
    files = _Responses(of_files, asked, values=values)
    for entry in entries:
        response = (directories if entry.is_directory else files).of(entry)
        written.append(response)
        size += len(response)
        if size > _PART:
            yield _encoded(written)
            written, size = [], 0
    yield _encoded([*written, _END])


def _encoded(texts: list[str]) -> bytes:
    return "".join(texts).encode("utf-8", "replace")


class _Responses:
    """Makes the responses of one kind of entries; what they have in common is made once.

    Args:
        has: the properties of this kind.
        asked: as for `multistatus`.
        values: as for `multistatus`.
    """

    def __init__(
        self,
        has: Mapping[str, Callable[[Entry], str | None]],
        asked: Collection[str] | None,
        *,
        values: bool,
    ) -> None:
        self._tells_missing = asked is not None
        self._values = values
        names = has if asked is None else asked
        self._properties = [(_Tags.of(name), has.get(name, _nothing)) for name in names]

    def of(self, entry: Entry) -> str:
        """Return the response of an entry."""
        found, missing = [], []
        for tags, value_of in self._properties:
            value = value_of(entry)
            if value is None:
                missing.append(tags.empty)
            elif value and self._values:
                found.append(f"{tags.begin}{value}{tags.end}")
            else:
                found.append(tags.empty)
        if not self._tells_missing:
            missing = []
        slash = "/" if entry.is_directory and entry.path != "/" else ""
        parts = [_status(found, "200 OK")] if found or not missing else []
        parts += [_status(missing, "404 Not Found")] if missing else []
        href = f"<D:href>{_href(entry.path)}{slash}</D:href>"
        return f"<D:response>{href}{''.join(parts)}</D:response>\n"


class _Tags(NamedTuple):
    """The tags of an element."""

    begin: str
    end: str
    empty: str

    @classmethod
    def of(cls, name: str) -> _Tags:
        """Return those of a name as ElementTree has it, with the namespace in braces."""
        if name.startswith("{DAV:}"):
            tag = f"D:{name[6:]}"
            return cls(f"<{tag}>", f"</{tag}>", f"<{tag}/>")
        space, _, local = name.removeprefix("{").rpartition("}")
        # histfs has no property of another namespace.
        return cls("", "", f"<{local} xmlns={quoteattr(space)}/>")


def _nothing(_: Entry) -> None:
    return None


def _escaped(text: str | None) -> str | None:
    return None if text is None else escape(text)


def _href(path: str) -> str:
    raw = path.encode("utf-8", "surrogateescape")
    # As urllib.parse.quote, which looks at each byte of a path that has one such byte.
    return escape(_UNSAFE.sub(_percent, raw).decode("ascii"))


def _percent(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _status(elements: list[str], status: str) -> str:
    properties = "".join(elements)
    return (
        f"<D:propstat><D:prop>{properties}</D:prop>"
        f"<D:status>HTTP/1.1 {status}</D:status></D:propstat>"
    )
