"""A cache of two generations: expiry and bound."""

from __future__ import annotations

import math

import pytest

from histfs.core.generational_cache import GenerationalCache
from tests.support.clock import Clock


@pytest.mark.parametrize(
    ("put", "got", "found"),
    [(0, 0, True), (0, 1, True), (0.9, 1.9, True), (0, 2, False), (0.9, 2.9, False)],
)
def test_a_value_is_kept_for_a_second_and_never_for_two(put, got, found):
    clock = Clock(100.0)
    cache = GenerationalCache[str, int](1, clock)
    clock.now = 100 + put
    cache.put("a", 1)
    clock.now = 100 + got
    assert cache.get("a") == (1 if found else None)


def test_the_latest_value_counts_and_unknown_keys_are_none():
    clock = Clock(100.0)
    cache = GenerationalCache[str, int](1, clock)
    cache.put("a", 1)
    clock.now += 1.5
    cache.put("a", 2)
    assert (cache.get("a"), cache.get("b")) == (2, None)


def test_the_latest_entries_are_kept_and_never_more_than_twice_the_bound():
    cache = GenerationalCache[int, int](math.inf, Clock(), max_entries=10)
    for number in range(100):
        cache.put(number, number)
        kept = sum(cache.get(each) is not None for each in range(number + 1))
        assert all(cache.get(each) == each for each in range(max(0, number - 9), number + 1))
        assert kept <= 20


def test_several_values_are_stored_at_once():
    cache = GenerationalCache[str, int](math.inf, max_entries=2)
    cache.put_all({"a": 1, "b": 2, "c": 3})
    assert [cache.get(key) for key in "abc"] == [1, 2, 3]
    cache.put("d", 4)
    assert (cache.get("a"), cache.get("d")) == (1, 4)
