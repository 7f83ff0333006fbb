"""Facts from lists of history items: pages, cursors, order, and the fields of items."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from histfs.sources.elevenlabs.facts import classes, list_pages
from histfs.sources.elevenlabs.facts.classes import Value
from histfs.sources.elevenlabs.facts.fact_requests import (
    HISTORY,
    Fact,
    FactRequests,
    FactUnavailable,
    Outcome,
    quantiles_of,
    require_ok,
    section_facts,
)
from histfs.sources.elevenlabs.facts.list_pages import ListedItem, ListedPage

_SMALL, _LARGE, _LARGE_PAGES = 10, 1000, 3
#: The word that is searched for.
WORD = "the"


class ListFacts:
    """Lists the newest items twice, in small pages and in large ones, and compares them.

    Args:
        requests: sends the requests.

    Attributes:
        seconds: time from each request to the headers of its response.
        items: the items of the large pages, each once.
    """

    def __init__(self, requests: FactRequests) -> None:
        self._requests = requests
        self._now = time.time()
        self.seconds: list[float] = []
        self._small = Outcome(partial(self._pages, _SMALL, 2))
        self._large = Outcome(partial(self._pages, _LARGE, _LARGE_PAGES))
        self.items = Outcome(lambda: _items(self._large.get()))
        self._window = Outcome(self._request_window)

    def _page(self, query: Mapping[str, str | int]) -> ListedPage:
        """Request one page of the history.

        Raises:
            FactUnavailable: the request failed.
        """
        response = require_ok(self._requests.send(HISTORY, query))
        self.seconds.append(response.seconds)
        try:
            return list_pages.parse_page(response.content)
        except (ValueError, RecursionError):
            raise FactUnavailable("the answer is not a page of items") from None

    def _pages(self, size: int, max_pages: int) -> list[ListedPage]:
        """Request the newest pages; return those before the first failure.

        Raises:
            FactUnavailable: the first page failed.
        """
        query: dict[str, str | int] = {"page_size": size}
        pages = [self._page(query)]
        while pages[-1].has_more and pages[-1].next_cursor and len(pages) < max_pages:
            query["start_after_history_item_id"] = pages[-1].next_cursor
            try:
                pages.append(self._page(query))
            except FactUnavailable:
                break
        return pages

    def _request_window(self) -> tuple[ListedPage, set[str]]:
        """Request a window of time inside the list; return the page and the expected ids.

        Raises:
            FactUnavailable: the list is too short, or the request failed.
        """
        items = self.items.get()
        bounds = list_pages.window(items, self._now)
        if bounds is None:
            raise FactUnavailable("too few items of different dates")
        start, end = bounds
        query = {"page_size": _LARGE, "date_after_unix": start, "date_before_unix": end}
        page = self._page(query)
        if page.has_more:
            raise FactUnavailable("too many items in a window of time")
        return page, list_pages.inside(items, start, end)

    def page_facts(self) -> Iterator[Fact]:
        """Yield the facts of the section "lists"."""
        small, large, window = self._small, self._large, self._window

        def full_pages() -> Value:
            requested = [(_SMALL, page) for page in small.get()[:1]]
            requested += [(_LARGE, page) for page in large.get()[:1]]
            counts = {
                f"page_size {size}": len(page.items) for size, page in requested if page.has_more
            }
            if not counts:
                raise FactUnavailable("the history is shorter than a page")
            return counts

        def overlap() -> Value:
            lists = [pages for pages in (small.get(), large.get()) if len(pages) > 1]
            if not lists:
                raise FactUnavailable("there is only one page")
            return sum(list_pages.repeated([page.items for page in pages]) for pages in lists)

        def stable() -> Value:
            first = [item.id for item in _items(small.get())]
            return first == [item.id for item in self.items.get()[: len(first)]]

        def all_pages() -> list[ListedPage]:
            pages = [*small.get(), *large.get()]
            return [*pages, window.get()[0]] if window.succeeded else pages

        def cursors() -> Value:
            pages = [page for page in all_pages() if page.items]
            if not pages:
                raise FactUnavailable("the history is empty")
            return {
                "pages": len(pages),
                "have it": sum(bool(page.cursor) for page in pages),
                "it is the last item's id": sum(page.cursor_is_last for page in pages),
            }

        def last_pages() -> Value:
            pages = [page for page in all_pages() if not page.has_more]
            if not pages:
                raise FactUnavailable("no last page was seen")
            return {"pages": len(pages), "have it": sum(bool(page.cursor) for page in pages)}

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

        yield from section_facts(
            "lists",
            {
                "items seen": lambda: len(self.items.get()),
                "the list goes on": lambda: large.get()[-1].has_more,
                "items on full pages": full_pages,
                "items on a page that one before had": overlap,
                "the same order when asked again": stable,
                "last_history_item_id": cursors,
                "last_history_item_id on last pages": last_pages,
                "order by date": order,
                "dates": dates,
                "a window of time": filtered,
                "bytes of an item": lambda: quantiles_of([i.length for i in self.items.get()], 0),
            },
        )

    def item_facts(self) -> Iterator[Fact]:
        """Yield the facts of the section "items"."""
        items = self.items

        def count(has: Callable[[ListedItem], Any]) -> Callable[[], Value]:
            return lambda: sum(bool(has(item)) for item in items.get())

        def each(classify: Callable[[ListedItem], str]) -> Callable[[], Value]:
            return lambda: classes.counted(classify(item) for item in items.get())

        yield from section_facts(
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

    def search_facts(self) -> Iterator[Fact]:
        """Yield the facts of the section "search"."""

        def status(**parameters: str) -> int:
            query: dict[str, str | int] = {"page_size": 1, "search": WORD, **parameters}
            return self._requests.send(HISTORY, query).status

        def needs_source() -> Value:
            plain = status()
            if plain == 200:
                return "no"
            if plain not in (400, 422):
                raise FactUnavailable(f"HTTP {plain}")
            with_source = status(source="TTS")
            if with_source != 200:
                raise FactUnavailable(f"HTTP {plain} without, HTTP {with_source} with")
            return f"yes (HTTP {plain} without)"

        yield from section_facts("search", {"it needs a source": needs_source})


def _items(pages: Sequence[ListedPage]) -> list[ListedItem]:
    """Return the items of pages, each once.

    Raises:
        FactUnavailable: there are none.
    """
    items = {item.id: item for page in pages for item in page.items}
    if not items:
        raise FactUnavailable("the history is empty")
    return list(items.values())
