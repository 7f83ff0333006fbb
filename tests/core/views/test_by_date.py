from datetime import datetime, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.times import ALWAYS, LATEST, Zone
from histfs.core.views import ByDate
from tests.core.fakes import TableIndex
from tests.support.memory import record

BERLIN = ByDate(Zone("Europe/Berlin"))


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


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
    assert [item.id for item in BERLIN.items(("2024", "05", "02"), index)] == ["c", "d"]
    assert [item.id for item in BERLIN.items(("2023", "01", "01"), index)] == ["b"]
    assert BERLIN.items(("2024", "05", "03"), index) == []


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
    zone=st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati"]),
    dates=st.lists(st.integers(0, LATEST), min_size=1, max_size=8),
)
@example(zone="UTC", dates=[0])
def test_walking_down_finds_every_item_once_and_in_its_home(zone, dates):
    view = ByDate(Zone(zone))
    index = TableIndex(record(f"id{n}", date) for n, date in enumerate(dates))
    paths = [()]
    for _ in range(view.depth):
        paths = [(*path, name) for path in paths for name in view.subdirectories(path, index)]
    found = {item.id: path for path in paths for item in view.items(path, index)}
    assert found == {row.item.id: view.home(row.item, index) for row in index.rows.values()}
    assert sum(len(view.items(path, index)) for path in paths) == len(dates)
