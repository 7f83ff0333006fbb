"""Which clip a thread is shown too small."""

from __future__ import annotations

import pytest

from histfs.core.estimate_probes import EstimateProbes, SmallSize


@pytest.fixture
def exact():
    """The exact sizes that are known, by key."""
    return {}


@pytest.fixture
def is_probe(exact):
    """Return a function that says whether a clip is shown too small, with 5,000 bytes."""
    probes = EstimateProbes(exact.get)

    def is_probe(thread, key, is_told=True, size=5000):
        shown = probes.size(thread, key, lambda: SmallSize(size, is_told))
        assert shown in (None, size)
        return shown is not None

    return is_probe


def test_each_thread_is_shown_its_second_clip_too_small_and_no_other(is_probe):
    assert [is_probe(7, key) for key in "aabbcabd"] == [key == "b" for key in "aabbcabd"]
    assert [is_probe(8, key) for key in "bab"] == [False, True, False]


def test_a_small_clip_waits_for_one_that_is_large_enough(is_probe):
    assert not any(is_probe(7, key, is_told=False) for key in "abab")
    assert is_probe(7, "d")
    assert not any(is_probe(7, key) for key in "abef")
    assert is_probe(7, "d", is_told=False)


def test_where_all_are_small_the_third_one_is_shown_too_small_all_the_same(is_probe):
    assert [key for key in "abcdefgh" if is_probe(7, key, is_told=False)] == ["c"]


def test_no_clip_is_shown_as_small_as_one_buffer_unless_it_can_be_told(is_probe):
    assert not any(is_probe(7, key, is_told=False, size=4096) for key in "abcdef")


@pytest.mark.parametrize(("size", "expected"), [(5000, "bc"), (5001, "b")])
def test_a_clip_that_was_no_larger_than_shown_is_followed_by_another(
    is_probe, exact, size, expected
):
    assert [key for key in "ab" if is_probe(7, key)] == ["b"]
    exact["b"] = size
    assert "b" + "".join(key for key in "cdef" if is_probe(7, key)) == expected


def test_a_caller_that_can_not_be_told_from_others_is_shown_none_too_small(is_probe):
    assert not any(is_probe(0, key) for key in "abab")
