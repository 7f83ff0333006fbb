from datetime import date, datetime, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.times import ALWAYS, EARLIEST, LATEST, Span, Zone, utc_day, utc_text

HOUR = 3600
ZONES = ["UTC", "Europe/Berlin", "America/Havana", "America/Asuncion", "Africa/Cairo",
         "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati", "Australia/Lord_Howe"]  # fmt: skip


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


def test_a_day_is_a_half_open_span():
    assert Zone("UTC").day(2024, 5, 2) == Span(at(2024, 5, 2), at(2024, 5, 3))


def test_a_day_begins_when_it_begins_in_the_zone():
    assert Zone("Asia/Kathmandu").day(2024, 5, 2).start == at(2024, 5, 1, 18, 15)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2024, 3, 31), 23),
        ("Europe/Berlin", (2024, 10, 27), 25),
        ("Australia/Lord_Howe", (2024, 4, 7), 24.5),
        # Clocks change at midnight: there is none, or there are two.
        ("America/Havana", (2024, 3, 10), 23),
        ("America/Havana", (2024, 11, 3), 25),
        # The day that Samoa left out.
        ("Pacific/Apia", (2011, 12, 30), 0),
    ],
)
def test_a_day_on_which_clocks_change_is_as_long_as_it_is(zone, day, hours):
    span = Zone(zone).day(*day)
    assert span.end - span.start == hours * HOUR


@given(zone=st.sampled_from(ZONES), moment=st.integers(at(2000, 1, 1), LATEST))
def test_a_moment_is_in_the_year_the_month_and_the_day_that_its_local_time_says(zone, moment):
    zone = Zone(zone)
    here, second = zone.local(moment), Span(moment, moment + 1)
    day = zone.day(here.year, here.month, here.day)
    month = zone.month(here.year, here.month)
    assert day.covers(second)
    assert month.covers(day)
    assert zone.year(here.year).covers(month)


@given(
    zone=st.sampled_from(ZONES), day=st.dates(date(1971, 1, 1), date(9999, 12, 30))
)  # fmt: skip
def test_days_follow_each_other_without_gap_and_overlap(zone, day):
    zone, after = Zone(zone), date.fromordinal(day.toordinal() + 1)
    assert (
        zone.day(day.year, day.month, day.day).end
        == zone.day(after.year, after.month, after.day).start
    )


def test_months_and_years_follow_each_other():
    zone = Zone("Europe/Berlin")
    assert zone.month(2023, 12).end == zone.month(2024, 1).start == zone.year(2024).start
    assert zone.year(2023).end == zone.year(2024).start


def test_the_last_year_has_no_end():
    assert Zone("UTC").year(9999).end == ALWAYS.end
    assert Zone("UTC").month(9999, 12).end == ALWAYS.end


@pytest.mark.parametrize("day", [(2023, 2, 29), (2024, 13, 1), (2024, 4, 31), (2024, 1, 0)])
def test_a_day_that_is_not_in_the_calendar_is_refused(day):
    with pytest.raises(ValueError):
        Zone("UTC").day(*day)


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+12", "Pacific/Kiritimati"])
@pytest.mark.parametrize("moment", [-(2**62), -1, 0, EARLIEST, LATEST, 2**62])
def test_every_moment_can_be_shown_in_every_zone(zone, moment):
    assert 1969 <= Zone(zone).local(moment).year <= 9999


def test_a_stamp_is_the_local_time_and_safe_in_a_name():
    assert Zone("Europe/Berlin").stamp(at(2024, 5, 2, 9, 45, 6)) == "2024-05-02T11-45-06"


@pytest.mark.parametrize(
    "name",
    ["UTC", "Asia/Kolkata", "Africa/Monrovia", "Australia/Lord_Howe", "America/St_Johns", None],
)
@given(st.integers(EARLIEST - 10**5, LATEST + 10**5) | st.integers(0, 2 * 10**9))
@example(EARLIEST)
@example(LATEST)
@example(1_727_533_800)
@example(1_727_535_600)
def test_each_stamp_is_that_of_the_local_time(name, moment):
    zone = Zone(name)
    for near in range(moment - 3600, moment + 3601, 450):
        local = zone.local(near).isoformat()[:19]
        assert zone.stamp(near) == local.replace(":", "-")


@given(st.lists(st.integers(EARLIEST, LATEST), min_size=2))
def test_stamps_sort_by_time(moments):
    zone = Zone("UTC")
    assert [zone.stamp(m) for m in sorted(moments)] == sorted(zone.stamp(m) for m in moments)


def test_no_name_means_the_machines_zone():
    moment = at(2024, 5, 2, 9, 45, 6)
    assert Zone().local(moment) == datetime.fromtimestamp(moment)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../etc/passwd"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises((KeyError, ValueError)):
        Zone(name)


def test_a_span_covers_itself_and_what_is_within():
    span = Span(10, 20)
    assert span.covers(span)
    assert span.covers(Span(12, 13))
    assert not span.covers(Span(9, 11))
    assert not span.covers(Span(19, 21))


@pytest.mark.parametrize(
    "moment",
    [0, 1, 86_399, 86_400, 1_709_164_799, 1_709_164_800, 1_714_650_306, 951_868_799, LATEST],
)
def test_a_moment_in_utc_is_as_strftime_writes_it(moment):
    there = datetime.fromtimestamp(moment, timezone.utc)
    assert utc_text(moment) == f"{there:%Y-%m-%dT%H:%M:%SZ}"
    assert utc_day(moment) == f"{there:%Y-%m-%d}"
