"""What the API does alike with all kinds of items: pages of them, one of them, its audio, its end.

A `RestCollection` is one such kind at one path. Its two users parse the objects.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from histfs.core.errors import AnswerTooLarge, BadAnswer, Rejected
from histfs.core.item import Record
from histfs.core.source import Page
from histfs.sources.elevenlabs.http_client import Body, HttpClient
from histfs.sources.elevenlabs.json_parsing import (
    dump,
    elements_of,
    leniently,
    members_of,
    strictly,
)

#: Seconds by which lists may be out of the order of time (`Traits.disorder`). The API promises no
#: order.
DISORDER = 900

_AUDIO_TYPES = ("audio/", "video/")
_OTHER_AUDIO = {"", "application/ogg", "application/octet-stream", "binary/octet-stream"}

#: Bytes of a page that is read though msgspec refuses it, which takes much more memory.
_LARGEST_ODD = 8 << 20
#: A page that was too large is asked for again with so many times fewer objects.
_FEWER = 8

log = logging.getLogger(__name__)

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Fields(NamedTuple):
    """How the fields of a page are called, but ``has_more``.

    Attributes:
        objects: the list of the objects.
        cursor: what the next page is asked for with.
        cursor_is_id: whether that is the id of the page's last item.
    """

    objects: str
    cursor: str
    cursor_is_id: bool = False


class _Listing(NamedTuple):
    """What a page says: its objects in JSON, and how it goes on."""

    objects: list[bytes]
    has_more: bool
    cursor: Any


class RestCollection:
    """Items of one kind.

    Args:
        http: the server and the key.
        path: where they are listed, such as ``/v1/history``.
        fields: how the fields of a page are called.
        read_page: reads the objects of a page, in JSON, given the server's time.
        read_one: the same for one object.
    """

    def __init__(
        self,
        http: HttpClient,
        path: str,
        fields: Fields,
        read_page: Callable[[Iterable[bytes], float], list[Record]],
        read_one: Callable[[bytes, float], Record],
    ) -> None:
        self._http = http
        self._path = path
        self._fields = fields
        self._read_page = read_page
        self._read_one = read_one
        # Objects on a page, at the most, as its size has taught; any thread may lower it.
        self._most = sys.maxsize
        answer = msgspec.defstruct(
            "Answer",
            [("objects", list[msgspec.Raw]), ("has_more", bool), ("cursor", Any, None)],
            rename={"objects": fields.objects, "cursor": fields.cursor},
        )
        self._decode = msgspec.json.Decoder(answer).decode

    def page(self, asked: Mapping[str, str | int | None]) -> Page:
        """Return one page; where that is larger than any answer may be, a shorter one.

        Args:
            asked: the parameters of the query; those that are None are not sent.

        Raises:
            Missing: there is no such list.
            SourceError: the source failed.
        """
        query = {name: value for name, value in asked.items() if value is not None}
        while True:
            size = query.get("page_size")
            if isinstance(size, int):
                query["page_size"] = size = min(size, self._most)
            try:
                return self._http.json("GET", self._path, self._page, query)
            except AnswerTooLarge:
                # With the times of all their characters, a thousand long texts may be too much.
                if not isinstance(size, int) or size == 1:
                    raise
                self._most = max(1, size // _FEWER)
                log.info("a page of %d items is too large: asking for %d", size, self._most)

    def get(self, item_id: str) -> Record:
        """Return one item."""
        return self._http.json("GET", self._at(item_id), self._item)

    def delete(self, item_id: str, is_done: Callable[[Any], bool]) -> None:
        """Delete one item, with one request.

        Args:
            item_id: the item.
            is_done: says whether an answer means that it is deleted.

        Raises:
            SourceError: the answer does not say that it is deleted; it may be all the same.
        """

        def read(content: bytes) -> None:
            if not is_done(leniently(content)):
                raise BadAnswer("the answer doesn't say that the item is deleted")

        self._http.json("DELETE", self._at(item_id), read)

    @contextmanager
    def audio(self, item_id: str) -> Iterator[Body]:
        """Open the audio of an item."""
        with self._http.stream("GET", f"{self._at(item_id)}/audio") as body:
            _expect_audio(body)
            yield body

    @contextmanager
    def file(self, item_id: str, file_id: str) -> Iterator[Body]:
        """Open a file that was sent with an item, whatever its type."""
        path = f"{self._at(item_id)}/files/{_step(file_id)}"
        with self._http.stream("GET", path) as body:
            yield body

    def _at(self, item_id: str) -> str:
        """Return the path of an item."""
        return f"{self._path}/{_step(item_id)}"

    def _page(self, content: bytes) -> Page:
        """Read a page; go on only while ``has_more`` and a cursor are both there."""
        listing = strictly(self._listing, content) or self._odd_listing(content)
        records = self._read_page(listing.objects, self._http.server_time)
        cursor = listing.cursor
        if not (isinstance(cursor, str) and cursor):
            # Most clients page with the id of the last item where that is what the cursor is.
            cursor = records[-1].item.id if records and self._fields.cursor_is_id else None
        if listing.has_more and cursor is None:
            raise BadAnswer("the server says that there is more, but not how to ask for it")
        return Page(records, cursor if listing.has_more else None)

    def _listing(self, content: bytes) -> _Listing:
        answer: Any = self._decode(content)
        objects = list(map(bytes, answer.objects))
        for raw in objects:
            # msgspec takes any bytes for the text of what it skips.
            if not raw.isascii():
                raw.decode()
        return _Listing(objects, answer.has_more, answer.cursor)

    def _odd_listing(self, content: bytes) -> _Listing:
        if len(content) > _LARGEST_ODD:
            raise AnswerTooLarge("the page is too large for JSON that has to be read leniently")
        try:
            answer = leniently(content)
        except RecursionError:
            return self._deep_listing(content)
        if not isinstance(answer, dict):
            raise BadAnswer("the answer is JSON, but not an object")
        objects, has_more = answer.get(self._fields.objects), answer.get("has_more")
        if not isinstance(objects, list) or not isinstance(has_more, bool):
            raise BadAnswer("the answer is not a page of items")
        return _Listing(list(map(dump, objects)), has_more, answer.get(self._fields.cursor))

    def _deep_listing(self, content: bytes) -> _Listing:
        """Read a page of which an object is nested too deeply to be read with the others."""
        parts = members_of(content)
        objects = elements_of(parts.get(self._fields.objects, b""))
        has_more = leniently(parts.get("has_more", b""))
        if not isinstance(has_more, bool):
            raise BadAnswer("the answer is not a page of items")
        return _Listing(objects, has_more, leniently(parts.get(self._fields.cursor, b"null")))

    def _item(self, content: bytes) -> Record:
        """Read the answer that is one item."""
        raw = strictly(_sent, content) or _odd_item(content)
        if not raw.startswith(b"{"):
            raise BadAnswer("the answer is JSON, but not an object")
        return self._read_one(raw, self._http.server_time)


def _step(some_id: str) -> str:
    """Return an id as one step of a path, escaped.

    Raises:
        Rejected: nothing with this id can be asked for.
    """
    if some_id in ("", ".", ".."):
        # Steps in a path (RFC 3986, section 3.3), and escaping them changes nothing. Not
        # `Missing`, which would have the item forgotten though the server lists it.
        raise Rejected(f"an item with the id {some_id!r} can't be asked for")
    return quote(some_id.encode("utf-8", "surrogatepass"), safe="")


def _sent(content: bytes) -> bytes:
    """Return JSON as it was sent, without the spaces around it."""
    content.decode()
    return bytes(_decode_raw(content))


def _odd_item(content: bytes) -> bytes:
    """Return JSON that msgspec refuses, in UTF-8; as it is where it is nested too deeply."""
    try:
        return dump(leniently(content))
    except RecursionError:
        members_of(content)
        return content.strip()


def _expect_audio(body: Body) -> None:
    if not body.content_type.startswith(_AUDIO_TYPES) and body.content_type not in _OTHER_AUDIO:
        raise BadAnswer(f"the answer is not audio but {body.content_type}")
