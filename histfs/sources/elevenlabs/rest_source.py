"""The part of a `Source` that is the same for all kinds of objects of the API.

`RestSource` lists, gets and deletes the objects at one path, and opens their audio. A subclass
gives its path and its parsers in a `Resource`.

Threads: any number at once, without a lock: `_max_page_size` is one number that any may lower.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

import msgspec

from histfs.core.errors import AnswerTooLarge, BadAnswer, Rejected
from histfs.core.item import Details, Record
from histfs.core.source import AudioStream, Page
from histfs.sources.elevenlabs.audio_sizes import AudioSizes
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.json_parsing import (
    parse_lenient,
    serialize,
    split_array,
    split_object,
    try_strict,
)
from histfs.sources.elevenlabs.response_bodies import StreamedBody, check_audio_type

#: Seconds by which lists may be out of the order of time (`Traits.disorder`). The API promises no
#: order.
DISORDER = 900

#: The most bytes of a page that is parsed parse_lenient, which takes much more memory.
_MAX_LENIENT_SIZE = 8 << 20
#: The page size is divided by this when a page was too large.
_PAGE_SIZE_DIVISOR = 8

log = logging.getLogger(__name__)

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True)
class Resource:
    """One kind of object of the API: where it is, and how responses are parsed.

    Attributes:
        path: where the objects are listed, such as ``/v1/history``.
        objects_field: the field of a page that holds the list of objects.
        cursor_field: the field of a page that holds the cursor of the next one.
        cursor_is_id: whether the cursor is the id of the page's last object.
        parse_page: parses the objects of a page, in JSON, given the server's time.
        parse_object: the same for one object.
        parse_details: parses the details of an object, in JSON.
        is_deleted: says whether the parsed response to a DELETE means success.
    """

    path: str
    objects_field: str
    cursor_field: str
    cursor_is_id: bool
    parse_page: Callable[[Iterable[bytes], float], list[Record]]
    parse_object: Callable[[bytes, float], Record]
    parse_details: Callable[[bytes], Details]
    is_deleted: Callable[[Any], bool]


class _RawPage(NamedTuple):
    """A page whose objects are not parsed."""

    objects: list[bytes]
    has_more: bool
    cursor: Any


class RestSource:
    """The base class of the API's sources.

    Args:
        http: the server and the key.
    """

    resource: ClassVar[Resource]

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._sizes = AudioSizes(http)
        self._max_page_size = sys.maxsize
        page = msgspec.defstruct(
            "Page",
            [("objects", list[msgspec.Raw]), ("has_more", bool), ("cursor", Any, None)],
            rename={
                "objects": self.resource.objects_field,
                "cursor": self.resource.cursor_field,
            },
        )
        self._decode_page = msgspec.json.Decoder(page).decode

    def get(self, item_id: str) -> Record:
        """Return one object (``GET path/{id}``)."""
        return self._http.json("GET", self._object_path(item_id), self._parse_object)

    def delete(self, item_id: str) -> None:
        """Delete one object (``DELETE path/{id}``), with one request.

        Raises:
            SourceError: the response doesn't say that it is deleted; it may be all the same.
        """

        def parse(content: bytes) -> None:
            if not self.resource.is_deleted(parse_lenient(content)):
                raise BadAnswer("the answer doesn't say that the item is deleted")

        self._http.json("DELETE", self._object_path(item_id), parse)

    @contextmanager
    def audio(self, item_id: str) -> Iterator[AudioStream]:
        """Open the audio of an object (``GET path/{id}/audio``)."""
        with self._http.stream("GET", self._audio_path(item_id)) as body:
            check_audio_type(body.content_type)
            self._sizes.note(body)
            yield body

    def audio_size(self, item_id: str) -> int:
        """Return the size of the audio of an object (``HEAD path/{id}/audio``, or a range)."""
        return self._sizes.size(self._audio_path(item_id))

    def describe(self, raw: bytes) -> Details:
        """Return the details of an object, of a list or complete."""
        return self.resource.parse_details(raw)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _get_page(self, parameters: Mapping[str, str | int | None]) -> Page:
        """Return one page; a shorter one where it would exceed the size limit of a response.

        Args:
            parameters: the query; those that are None are not sent.

        Raises:
            Missing: there is no such list.
            SourceError: the source failed.
        """
        query = {name: value for name, value in parameters.items() if value is not None}
        while True:
            size = query.get("page_size")
            if isinstance(size, int):
                query["page_size"] = size = min(size, self._max_page_size)
            try:
                return self._http.json("GET", self.resource.path, self._parse_page, query)
            except AnswerTooLarge:
                # A thousand long texts may be too much, with the times of all their characters.
                if not isinstance(size, int) or size == 1:
                    raise
                self._max_page_size = max(1, size // _PAGE_SIZE_DIVISOR)
                log.info(
                    "a page of %d items is too large: asking for %d", size, self._max_page_size
                )

    def _open_file(self, item_id: str, file_id: str) -> AbstractContextManager[StreamedBody]:
        """Open a file that was sent with an object, of any type."""
        path = f"{self._object_path(item_id)}/files/{_path_segment(file_id)}"
        return self._http.stream("GET", path)

    def _audio_path(self, item_id: str) -> str:
        return f"{self._object_path(item_id)}/audio"

    def _object_path(self, item_id: str) -> str:
        return f"{self.resource.path}/{_path_segment(item_id)}"

    def _parse_page(self, content: bytes) -> Page:
        """Parse a page; it has a cursor only when it also has ``has_more``."""
        raw_page = try_strict(self._split_page, content) or self._split_page_leniently(content)
        records = self.resource.parse_page(raw_page.objects, self._http.server_time)
        cursor = raw_page.cursor
        if not (isinstance(cursor, str) and cursor):
            # Most clients page with the id of the last item where that is what the cursor is.
            cursor = records[-1].item.id if records and self.resource.cursor_is_id else None
        if raw_page.has_more and cursor is None:
            raise BadAnswer("the server says that there is more, but not how to ask for it")
        return Page(records, cursor if raw_page.has_more else None)

    def _split_page(self, content: bytes) -> _RawPage:
        page: Any = self._decode_page(content)
        objects = list(map(bytes, page.objects))
        for raw in objects:
            # msgspec accepts any bytes in a string that it skips.
            if not raw.isascii():
                raw.decode()
        return _RawPage(objects, page.has_more, page.cursor)

    def _split_page_leniently(self, content: bytes) -> _RawPage:
        if len(content) > _MAX_LENIENT_SIZE:
            raise AnswerTooLarge("the page is too large for JSON that has to be read leniently")
        try:
            page = parse_lenient(content)
        except RecursionError:
            return self._split_nested_page(content)
        if not isinstance(page, dict):
            raise BadAnswer("the answer is JSON, but not an object")
        objects, has_more = page.get(self.resource.objects_field), page.get("has_more")
        if not isinstance(objects, list) or not isinstance(has_more, bool):
            raise BadAnswer("the answer is not a page of items")
        return _RawPage(
            list(map(serialize, objects)), has_more, page.get(self.resource.cursor_field)
        )

    def _split_nested_page(self, content: bytes) -> _RawPage:
        """Split a page of which an object is nested too deeply for the parsers."""
        members = split_object(content)
        objects = split_array(members.get(self.resource.objects_field, b""))
        has_more = parse_lenient(members.get("has_more", b""))
        if not isinstance(has_more, bool):
            raise BadAnswer("the answer is not a page of items")
        cursor = parse_lenient(members.get(self.resource.cursor_field, b"null"))
        return _RawPage(objects, has_more, cursor)

    def _parse_object(self, content: bytes) -> Record:
        raw = try_strict(_strip, content) or _strip_leniently(content)
        if not raw.startswith(b"{"):
            raise BadAnswer("the answer is JSON, but not an object")
        return self.resource.parse_object(raw, self._http.server_time)


def _path_segment(some_id: str) -> str:
    """Return an id as one segment of a path, escaped.

    Raises:
        Rejected: an id that no path can express.
    """
    if some_id in ("", ".", ".."):
        # Dot segments (RFC 3986, section 3.3), which escaping doesn't change. Not `Missing`: the
        # item would be forgotten though the server lists it.
        raise Rejected(f"an item with the id {some_id!r} can't be requested")
    return quote(some_id.encode("utf-8", "surrogatepass"), safe="")


def _strip(content: bytes) -> bytes:
    """Return JSON without the whitespace around it."""
    content.decode()
    return bytes(_decode_raw(content))


def _strip_leniently(content: bytes) -> bytes:
    """Return JSON that msgspec refuses, as UTF-8; unchanged where it is nested too deeply."""
    try:
        return serialize(parse_lenient(content))
    except RecursionError:
        split_object(content)
        return content.strip()
