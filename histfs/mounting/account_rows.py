"""The items of an account as the rows of a table, from the catalog alone: no request is sent.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from histfs.catalog.table_query import JoinedItem, joined
from histfs.core.audio_format import declared_extension
from histfs.core.errors import BadAnswer
from histfs.core.item import NOTHING, Details, Facets, Item
from histfs.core.item_row import ItemRow, RowFields
from histfs.core.names import Labelled, item_name
from histfs.core.size_estimate import seconds_in
from histfs.core.times import ALWAYS, Span, Zone, utc_day
from histfs.mounting.mounted_source import MountedSource

_NO_FIELDS = RowFields()
#: Returns those fields of a row that are texts.
_texts_of: Callable[[ItemRow], Sequence[str | None]] = itemgetter(*[
    number
    for number, kind in enumerate(ItemRow.__annotations__.values())
    if "str" in getattr(kind, "__forward_arg__", kind)
])  # fmt: skip


def rows(mounted: MountedSource, zone: Zone, span: Span = ALWAYS) -> Iterator[ItemRow]:
    """Yield the rows of a source, oldest first.

    Args:
        mounted: the source.
        zone: in which paths have their times.
        span: in which the items were created.

    Raises:
        CacheFailed, NoSpace: the catalog can't be read.
    """
    return (row for _, row in joined_rows(mounted, zone, span))


def items_and_rows(
    mounted: MountedSource, zone: Zone, span: Span = ALWAYS
) -> Iterator[tuple[Item, ItemRow]]:
    """Yield the items of a source with their rows, oldest first; see `rows`."""
    for found, row in joined_rows(mounted, zone, span):
        yield found.item, row


def joined_rows(
    mounted: MountedSource, zone: Zone, span: Span = ALWAYS
) -> Iterator[tuple[JoinedItem, ItemRow]]:
    """Yield all that the catalog has of the items of a source with their rows; see `rows`."""
    row_of = _RowMaker(mounted, zone).row_of
    for found in joined(mounted.store, span):
        yield found, row_of(found)


def export_name(item: Item, folder: str, extension: str) -> str:
    """Return the name of an item's object in an export, such as ``audio/month=2024-05/ID.mp3``."""
    return f"{folder}/month={utc_day(item.date)[:7]}/{item.key}.{extension}"


class _RowMaker:
    """Makes the rows of a source.

    Args:
        mounted: the source.
        zone: in which paths have their times.
    """

    def __init__(self, mounted: MountedSource, zone: Zone) -> None:
        self._zone = zone
        self._name = mounted.name
        self._source = mounted.source
        self._fields_of = mounted.source.traits.fields_of
        self._catalog = mounted.catalog
        self._home = mounted.views[0]
        self._above = () if mounted.in_root else (mounted.name,)

    def row_of(self, found: JoinedItem) -> ItemRow:
        """Return the row of an item."""
        item, facets = found.item, found.facets
        listed = self._fields_of(found.raw)
        fetched = _NO_FIELDS if found.fetched is None else self._fields_of(found.fetched)
        if listed.tells_text:
            text, silent = listed.text, False
        else:
            details = self._described(found)
            text = None if details is None else details.text
            silent = details is not None and details.lacks_audio
        characters = listed.characters
        if characters is None and "voice" in facets and text is not None:
            characters = len(text)
        duration = listed.duration or fetched.duration
        if duration is None and found.size is not None:
            duration = seconds_in(found.size, item.output_format)
        voice, agent = _first(facets, "voice"), _first(facets, "agent")
        extension = item.extension or declared_extension(item.content_type, item.output_format)
        row = ItemRow(
            id=item.id,
            kind=self._name,
            time=item.date,
            voice=voice.label,
            voice_id=voice.value or None,
            model=_first(facets, "model").value or None,
            source=_first(facets, "source").value or None,
            language=listed.language or fetched.language,
            characters=characters,
            text=text,
            settings=listed.settings,
            content_type=item.content_type or None,
            output_format=item.output_format or None,
            duration=duration,
            size=found.size,
            sha256=None if found.sha256 is None else found.sha256.hex(),
            path=self._path(item),
            agent=agent.label,
            agent_id=agent.value or None,
            outcome=_first(facets, "outcome").value or None,
            call_id=_first(facets, "call").value or None,
            cost=listed.cost if listed.cost is not None else fetched.cost,
            audio=None if silent else export_name(item, "audio", extension),
        )
        return _storable(row)

    def _described(self, found: JoinedItem) -> Details | None:
        """Return the details by the object that has most of them; None if it can't be parsed."""
        try:
            return self._source.describe(found.raw if found.fetched is None else found.fetched)
        except BadAnswer:
            return None

    def _path(self, item: Item) -> str:
        """Return the path of an item's directory in the tree of the account."""
        at = self._home.home(item, self._catalog) or ()
        name = item_name(item.date, item.slug, item.key, self._zone)
        return "/".join([*self._above, self._home.name, *at, name])


def _first(facets: Facets, kind: str) -> Labelled:
    return (facets.get(kind) or NOTHING)[0]


def _storable(row: ItemRow) -> ItemRow:
    """Replace lone surrogates, which JSON can carry and UTF-8 can't."""
    # All texts at once: in a million rows there is hardly one.
    texts = "".join(filter(None, _texts_of(row)))
    if texts.isascii() or _is_storable(texts):
        return row
    clean: dict[str, Any] = {
        name: value.encode("utf-8", "replace").decode()
        for name, value in row._asdict().items()
        if isinstance(value, str)
    }
    return row._replace(**clean)


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
