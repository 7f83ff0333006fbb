from calendar import monthrange
from datetime import datetime, timezone
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.times import ALWAYS, LATEST, Span, Zone
from histfs.core.views import ByDate
from histfs.core.waiting import Waiter
from tests.core.fakes import IndexCall, TableIndex
from tests.support.memory import record

BERLIN = ByDate(Zone("Europe/Berlin"))
NOW = Waiter(5)

zones = st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati"])


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


def keys(where, index, view=BERLIN) -> list[str]:
    return [listed.key for listed in view.items(where, index)]


@pytest.fixture
def index() -> TableIndex:
    return TableIndex(
        [
            record("a", at(2022, 12, 31, 22, 59)),
            record("b", at(2022, 12, 31, 23, 0)),  # New Year in Berlin
            record("d", at(2024, 5, 2, 9)),
            record("c", at(2024, 5, 2, 8)),
            record("e", at(2024, 5, 17)),
        ]
    )


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ((), ["2022", "2023", "2024"]),
        (("2022",), ["12"]),
        (("2024",), ["05"]),
        (("2024", "05"), ["02", "17"]),
        (("2021",), []),
    ],
)
def test_only_years_months_and_days_with_items_are_shown(index, where, names):
    assert BERLIN.subdirectories(where, index) == names


def test_a_day_holds_its_items_oldest_first(index):
    assert keys(("2024", "05", "02"), index) == ["c", "d"]
    assert keys(("2023", "01", "01"), index) == ["b"]
    assert keys(("2024", "05", "03"), index) == []


def test_a_directory_is_as_new_as_its_newest_item(index):
    assert BERLIN.newest(("2024", "05", "02"), index) == at(2024, 5, 2, 9)
    assert BERLIN.newest(("2024",), index) == BERLIN.newest((), index) == at(2024, 5, 17)
    assert BERLIN.newest(("2025",), index) is None


@pytest.mark.parametrize(
    "where",
    ["24", "02024", "٢٠٢٤", "abcd", "-001", "0000", "2024/13", "2024/5", "2024/00", "2023/02/29",
     "2024/05/2", "2024/05/32", "2024/05/02/1", "2024/ab/01"],
)  # fmt: skip
def test_what_is_no_date_is_no_directory(index, where):
    assert BERLIN.span(tuple(where.split("/"))) is None
    assert BERLIN.newest(tuple(where.split("/")), index) is None


def test_the_top_spans_all_time():
    assert BERLIN.span(()) == ALWAYS


@given(
    zone=zones,
    dates=st.lists(st.integers(0, LATEST), min_size=1, max_size=8),
)
@example(zone="UTC", dates=[0])
def test_walking_down_finds_every_item_once_and_in_its_home(zone, dates):
    view = ByDate(Zone(zone))
    index = TableIndex(record(f"id{n}", date) for n, date in enumerate(dates))
    paths = [()]
    for _ in range(view.depth):
        paths = [(*path, name) for path in paths for name in view.subdirectories(path, index)]
    found = [(key, path) for path in paths for key in keys(path, index, view)]
    assert sorted(found) == [(key, view.home(row.item, index)) for key, row in index.rows.items()]


def test_a_day_is_asked_for_whole_and_what_lies_above_it_for_its_newest_item(index):
    day, month, year = (BERLIN.span(("2024", "05", "02")[:depth]) for depth in (3, 2, 1))
    BERLIN.ensure_newest(("2024", "05", "02"), index, NOW)
    BERLIN.ensure(("2024", "05", "02"), index, NOW)
    BERLIN.ensure_newest(("2024", "05"), index, NOW)
    BERLIN.ensure_newest(("2024",), index, NOW)
    assert index.asked == [
        IndexCall("ensure", (day,)),
        IndexCall("ensure", (day,)),
        IndexCall("ensure_newest", (month,)),
        IndexCall("ensure_newest", (year,)),
    ]


@given(
    zone=zones,
    year=st.integers(1970, 9999),
    month=st.none() | st.integers(1, 12),
)
@example(zone="Pacific/Apia", year=2011, month=12)  # has no 30th
@example(zone="America/Sao_Paulo", year=2018, month=11)  # has a day without midnight
def test_a_month_is_asked_for_by_its_days_and_a_year_by_its_months_without_a_gap(zone, year, month):
    view, index = ByDate(Zone(zone)), TableIndex()
    where = (f"{year:04}",) if month is None else (f"{year:04}", f"{month:02}")
    view.ensure(where, index, NOW)
    ((method, spans),) = index.asked
    assert method == "ensure_newest"
    assert len(spans) == (12 if month is None else monthrange(year, month)[1])
    assert (spans[0].start, spans[-1].end) == view.span(where)
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert all(span.start <= span.end for span in spans)


def years_asked_for(index: TableIndex) -> list[Span]:
    assert {asked.method for asked in index.asked} == {"ensure_newest"}
    return [span for asked in index.asked for span in asked.spans]


def before(year: str) -> Span:
    return Span(ALWAYS.start, BERLIN.span((year,)).start)


def test_years_are_found_one_after_the_other_and_those_without_items_cost_nothing(index):
    BERLIN.ensure((), index, NOW)
    assert years_asked_for(index) == [ALWAYS, before("2024"), before("2023"), before("2022")]


def test_a_year_that_turns_out_to_be_emptied_is_skipped(index):
    def meanwhile() -> None:
        if len(index.asked) == 2:
            index.discard("b")

    index.on_asked = meanwhile
    BERLIN.ensure((), index, NOW)
    assert years_asked_for(index) == [ALWAYS, before("2024"), before("2022")]
    assert BERLIN.subdirectories((), index) == ["2022", "2024"]


def test_a_year_that_comes_while_years_are_looked_for_is_not_skipped(index):
    index.arriving = [record("new", at(2023, 7, 1))]
    BERLIN.ensure((), index, NOW)
    assert before("2023") in years_asked_for(index)
    assert BERLIN.subdirectories((), index) == ["2022", "2023", "2024"]


def test_no_items_cost_one_question():
    index = TableIndex()
    BERLIN.ensure((), index, NOW)
    assert index.asked == [IndexCall("ensure_newest", (ALWAYS,))]


@pytest.mark.parametrize(
    ("where", "knows_newest", "complete"),
    [
        ("2024/05/17", True, True),
        ("2024/05/02", False, False),
        ("2024/05/01", True, True),
        ("2024/05", True, False),
        ("2024/04", True, True),
        ("2024", True, True),
        ("2022", True, True),
        ("", True, True),
    ],
)
def test_a_directory_is_listed_when_all_that_it_shows_is_known(
    index, where, knows_newest, complete
):
    # The evening of the second of May, when the items of that morning were there.
    index.unknown = Span(at(2024, 5, 2, 20), at(2024, 5, 2, 21))
    parts = tuple(filter(None, where.split("/")))
    assert BERLIN.knows_newest(parts, index) == knows_newest
    assert BERLIN.complete(parts, index) == complete


def test_years_are_not_listed_while_it_is_not_known_where_they_end(index):
    index.unknown = Span(at(2023, 3, 1), at(2023, 3, 2))
    assert BERLIN.knows_newest((), index)
    assert not BERLIN.complete((), index)
    assert not BERLIN.complete(("2023",), index)


def test_a_day_is_known_by_its_newest_item_before_it_can_be_listed(index):
    index.unknown = Span(at(2024, 5, 2, 7), at(2024, 5, 2, 8))
    assert BERLIN.knows_newest(("2024", "05", "02"), index)
    assert not BERLIN.complete(("2024", "05", "02"), index)
