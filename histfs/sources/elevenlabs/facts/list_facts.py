"""What lists of history items tell: pages, cursors, order, and what items have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from histfs.sources.elevenlabs.facts import classes, list_pages
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.facts.fact_requests import (
    HISTORY,
    Asker,
    Attempt,
    Cannot,
    Fact,
    facts_of,
    good,
    spread,
)
from histfs.sources.elevenlabs.facts.list_pages import ListedPage, Seen

_SMALL, _LARGE, _LARGE_PAGES = 10, 1000, 3
#: A word that a search is sent with.
WORD = "the"


class Lists:
    """Walks the newest pages twice, in small ones and in large ones, and compares.

    Args:
        asker: sends the requests.

    Attributes:
        seconds: how long it took until each page began to come.
        items: the items of the large pages, each once.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._now = time.time()
        self.seconds: list[float] = []
        self._small = Attempt(partial(self._pages, _SMALL, 2))
        self._large = Attempt(partial(self._pages, _LARGE, _LARGE_PAGES))
        self.items = Attempt(lambda: _items(self._large.get()))
        self._window = Attempt(self._ask_window)

    def _page(self, query: Mapping[str, str | int]) -> ListedPage:
        """Ask for one page of the history.

        Raises:
            Cannot: none came.
        """
        answer = good(self._asker.ask(HISTORY, query))
        self.seconds.append(answer.seconds)
        try:
            return list_pages.read_page(answer.content)
        except (ValueError, RecursionError):
            raise Cannot("the answer is not a page of items") from None

    def _pages(self, size: int, most: int) -> list[ListedPage]:
        """Ask for the newest pages; those that came before one failed count.

        Raises:
            Cannot: not even the first came.
        """
        query: dict[str, str | int] = {"page_size": size}
        found = [self._page(query)]
        while found[-1].has_more and found[-1].following and len(found) < most:
            query["start_after_history_item_id"] = found[-1].following
            try:
                found.append(self._page(query))
            except Cannot:
                break
        return found

    def _ask_window(self) -> tuple[ListedPage, set[str]]:
        """Ask for a window of time that the list has; return the answer and what should be in it.

        Raises:
            Cannot: the list has none, or no answer came.
        """
        items = self.items.get()
        bounds = list_pages.window(items, self._now)
        if bounds is None:
            raise Cannot("too few items of different dates")
        start, end = bounds
        query = {"page_size": _LARGE, "date_after_unix": start, "date_before_unix": end}
        page = self._page(query)
        if page.has_more:
            raise Cannot("too many items in a window of time")
        return page, list_pages.inside(items, start, end)

    def of_pages(self) -> Iterator[Fact]:
        """Yield what the pages say."""
        small, large, window = self._small, self._large, self._window

        def honoured() -> Value:
            asked = [(_SMALL, page) for page in small.get()[:1]]
            asked += [(_LARGE, page) for page in large.get()[:1]]
            got = {f"page_size {size}": len(page.items) for size, page in asked if page.has_more}
            if not got:
                raise Cannot("the history is shorter than a page")
            return got

        def overlap() -> Value:
            walks = [w for w in (small.get(), large.get()) if len(w) > 1]
            if not walks:
                raise Cannot("there is only one page")
            return sum(list_pages.repeated([page.items for page in walk]) for walk in walks)

        def stable() -> Value:
            first = [item.id for item in _items(small.get())]
            return first == [item.id for item in self.items.get()[: len(first)]]

        def all_pages() -> list[ListedPage]:
            found = [*small.get(), *large.get()]
            return [*found, window.get()[0]] if window.succeeded else found

        def cursors() -> Value:
            found = [page for page in all_pages() if page.items]
            if not found:
                raise Cannot("the history is empty")
            return {
                "pages": len(found),
                "have it": sum(bool(page.cursor) for page in found),
                "it is the last item's id": sum(page.cursor_is_last for page in found),
            }

        def last_pages() -> Value:
            found = [page for page in all_pages() if not page.has_more]
            if not found:
                raise Cannot("no last page was seen")
            return {"pages": len(found), "have it": sum(bool(page.cursor) for page in found)}

        def filtered() -> Value:
            page, expected = window.get()
            ids = {item.id for item in page.items}
            return {
                "expected": len(expected),
                "missing": len(expected - ids),
                "unexpected": len(ids - expected),
            }

        def order() -> Value:
            return list_pages.disorder(list_pages.possible_dates(self.items.get(), self._now))

        def dates() -> Value:
            return classes.counted(
                list_pages.date_class(item.date, self._now) for item in self.items.get()
            )

        yield from facts_of(
            "lists",
            {
                "items seen": lambda: len(self.items.get()),
                "the list goes on": lambda: large.get()[-1].has_more,
                "items on full pages": honoured,
                "items on a page that one before had": overlap,
                "the same order when asked again": stable,
                "last_history_item_id": cursors,
                "last_history_item_id on last pages": last_pages,
                "order by date": order,
                "dates": dates,
                "a window of time": filtered,
                "bytes of an item": lambda: spread([i.length for i in self.items.get()], 0),
            },
        )

    def of_items(self) -> Iterator[Fact]:
        """Yield what the items have."""
        items = self.items

        def count(of: Callable[[Seen], Any]) -> Callable[[], Value]:
            return lambda: sum(bool(of(item)) for item in items.get())

        def each(of: Callable[[Seen], str]) -> Callable[[], Value]:
            return lambda: classes.counted(of(item) for item in items.get())

        yield from facts_of(
            "items",
            {
                "with alignments": count(lambda item: item.alignments),
                "dialogue": each(lambda item: item.dialogue),
                "with a text": count(lambda item: item.text),
                "with a voice_id": count(lambda item: item.voice),
                "content_type": each(lambda item: item.content_type),
                "output_format": each(lambda item: item.output_format),
                "source": each(lambda item: item.source),
                "model_id": each(lambda item: item.model),
                "state": each(lambda item: item.state),
                "with undocumented fields": count(lambda item: item.undocumented),
            },
        )

    def of_search(self) -> Iterator[Fact]:
        """Yield how a search has to be asked for."""

        def status(**more: str) -> int:
            return self._asker.ask(HISTORY, {"page_size": 1, "search": WORD, **more}).status

        def needs_source() -> Value:
            plain = status()
            if plain == 200:
                return "no"
            if plain not in (400, 422):
                raise Cannot(f"HTTP {plain}")
            asked = status(source="TTS")
            return f"yes (HTTP {plain} without)" if asked == 200 else _refused(plain, asked)

        yield from facts_of("search", {"it needs a source": needs_source})


def _items(walk: Sequence[ListedPage]) -> list[Seen]:
    """Return the items of pages, each once.

    Raises:
        Cannot: there are none.
    """
    found = {item.id: item for page in walk for item in page.items}
    if not found:
        raise Cannot("the history is empty")
    return list(found.values())


def _refused(plain: int, with_source: int) -> str:
    raise Cannot(f"HTTP {plain} without, HTTP {with_source} with")
