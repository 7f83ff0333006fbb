"""A dict of what was put in lately."""

from __future__ import annotations

import math

import pytest

from histfs.core.generational_cache import GenerationalCache
from tests.support.clock import Clock


@pytest.mark.parametrize(
    ("put", "asked", "there"),
    [(0, 0, True), (0, 1, True), (0.9, 1.9, True), (0, 2, False), (0.9, 2.9, False)],
)
def test_a_value_is_kept_for_a_second_and_never_for_two(put, asked, there):
    clock = Clock(100.0)
    recent = GenerationalCache[str, int](1, clock)
    clock.now = 100 + put
    recent.put("a", 1)
    clock.now = 100 + asked
    assert recent.get("a") == (1 if there else None)


def test_the_last_value_counts_and_others_are_none():
    clock = Clock(100.0)
    recent = GenerationalCache[str, int](1, clock)
    recent.put("a", 1)
    clock.now += 1.5
    recent.put("a", 2)
    assert (recent.get("a"), recent.get("b")) == (2, None)


def test_the_last_ones_are_kept_however_many_there_are_and_fewer_than_twice_as_many():
    recent = GenerationalCache[int, int](math.inf, Clock(), most=10)
    for number in range(100):
        recent.put(number, number)
        kept = sum(recent.get(each) is not None for each in range(number + 1))
        assert all(recent.get(each) == each for each in range(max(0, number - 9), number + 1))
        assert kept <= 20


def test_several_values_are_kept_at_once():
    recent = GenerationalCache[str, int](math.inf, most=2)
    recent.put_all({"a": 1, "b": 2, "c": 3})
    assert [recent.get(key) for key in "abc"] == [1, 2, 3]
    recent.put("d", 4)
    assert (recent.get("a"), recent.get("d")) == (1, 4)
