"""The names of clips in ``listen``, such as ``2024-05-02 11.45 Hello world``, without extensions.

A name is the local minute and the first words. Of clips of one minute with the same words, whatever
the case, all but the first have their second as well, and where that is the same their key. So a
newer clip never renames an older one, and a clip has one name in all folders.

FAT, NTFS and SMB take the names; they are at most `names.PORTABLE_MAX` bytes with any extension.

Threads: any number at once; the caches guard themselves, and there is no other state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache
from histfs.core.index import Index, Listed
from histfs.core.item import Facets, Item
from histfs.core.names import component, cut, folded, suffixed
from histfs.core.times import Span, Zone

#: The length of the first words, in characters and in bytes of UTF-8.
_CHARACTERS, _BYTES = 60, 90
#: Characters of a text that always suffice for its first words.
_PREFIX = 400
#: Minutes in a generation of the cache, and clips whose words are cached.
_MINUTES, _CLIPS = 8192, 16_384
_MINUTE = 60
#: Bytes of a name that a key follows: it has room for that and for an extension.
_SUFFIXED = 50
_UNTITLED = "untitled"
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d)\.(\d\d)[ .]", re.ASCII)
#: What no words end with: two of these are dashes.
_TRAILING = " ,;:-\u2013\u2014"
#: What reads better than the dash that `component` puts in place of these; and what VLC takes for a
#: part of a URL in a playlist.
_READABLE = str.maketrans({":": ".", "%": " percent", **dict.fromkeys("?*<>#", "")})


class Spoken(NamedTuple):
    """What is known of a clip from its listed object.

    Attributes:
        words: what is said, or a title; None where the object has neither.
        seconds: how long it is; None where the object doesn't tell.
    """

    words: str | None = None
    seconds: float | None = None


class _Minute(NamedTuple):
    """The names of the clips of a minute.

    Attributes:
        version: of the index, at which they were known to be valid.
        names: by the keys of the items.
        items: by the names of their clips.
    """

    version: int
    names: Mapping[str, str]
    items: Mapping[str, Listed]


class ClipNames:
    """The names of the clips of one source.

    Args:
        index: the items.
        zone: for the times in names.
        spoken: reads what is known of a clip from its listed object.
    """

    def __init__(self, index: Index, zone: Zone, spoken: Callable[[Item], Spoken]) -> None:
        self._index = index
        self._zone = zone
        self._minutes = GenerationalCache[int, _Minute](math.inf, max_entries=_MINUTES)
        self._read = spoken
        self._spoken = lru_cache(_CLIPS)(self._shorten)

    def name(self, date: int, key: str) -> str | None:
        """Return the name of an item's clip; None if there is no such item."""
        return self._minute(date // _MINUTE).names.get(key)

    def may_name(self, name: str) -> bool:
        """Say whether a clip may have a name, whatever items there are."""
        return _STAMP.match(name) is not None

    def find(self, name: str) -> Listed | None:
        """Return the item whose clip has a name; None if there is none."""
        minutes = (self._minute(moment // _MINUTE) for moment in self._moments(name))
        found = (minute.items[name] for minute in minutes if name in minute.items)
        return next(found, None)

    def spoken(self, item: Item) -> Spoken:
        """Return the first words of a clip, or a title, and how long it is."""
        return self._spoken(item)

    def _moments(self, name: str) -> list[int]:
        """Return the beginnings of the minutes that a name may be of; none for another name."""
        found = _STAMP.match(name)
        return self._zone.moments("{}T{}-{}-00".format(*found.groups())) if found else []

    def _minute(self, number: int) -> _Minute:
        version = self._index.recent_version
        span = Span(number * _MINUTE, (number + 1) * _MINUTE)
        minute = self._minutes.get(number)
        if minute is not None and minute.version == version:
            return minute
        if minute is None or not self._index.unchanged(span, minute.version):
            minute = self._made(version, self._index.items(span))
        self._minutes.put(number, minute._replace(version=version))
        return minute

    def _made(self, version: int, items: Iterable[Item]) -> _Minute:
        """Name the items of a minute, which come oldest first."""
        names: dict[str, str] = {}
        named: dict[str, Listed] = {}
        taken: set[str] = set()
        for item in items:
            name = next(name for name in self._candidates(item) if folded(name) not in taken)
            taken.add(folded(name))
            names[item.key], named[name] = name, Listed(item.date, item.key, item.slug)
        return _Minute(version, names, named)

    def _candidates(self, item: Item) -> Iterator[str]:
        """Yield names for an item, the preferred one first; its key makes the last one its own."""
        words = portable(self._spoken(item).words or _UNTITLED)
        local = self._zone.local(item.date)
        # The hour that comes twice when clocks are set back.
        again = " (2)" if local.fold else ""
        yield f"{local:%Y-%m-%d %H.%M}{again} {words}"
        yield f"{local:%Y-%m-%d %H.%M.%S}{again} {words}"
        yield suffixed(cut(f"{local:%Y-%m-%d %H.%M.%S}{again} {words}", _SUFFIXED), item.key)

    def _shorten(self, item: Item) -> Spoken:
        words, seconds = self._read(item)
        return Spoken(first_words(words or item.slug.replace("-", " ")), seconds)


def speaker_of(facets: Facets) -> str:
    """Return the name of the first voice, or of the agent; empty where there is none."""
    known = (facets[kind][0] for kind in ("voice", "agent") if facets.get(kind))
    return next((each.label or each.value for each in known), "")


def first_words(text: str) -> str:
    """Return the first words of a text on one line; empty where it has none."""
    whole = " ".join(text[:_PREFIX].encode("utf-8", "replace").decode().split())
    words = cut(whole[:_CHARACTERS], _BYTES)
    if words != whole and whole[len(words)] != " " and " " in words:
        words = words[: words.rindex(" ")]  # the last word is cut
    return words.rstrip(_TRAILING)


def portable(words: str) -> str:
    """Return words as a part of a file name that FAT, NTFS and SMB take."""
    return component(words.replace("? ", ". ").translate(_READABLE)) or _UNTITLED
