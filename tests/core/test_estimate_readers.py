"""What tells a program that keeps to an estimated size from one that reads to the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.estimate_readers import (
    EstimateReader,
    ReadCount,
    ReadRequest,
    ShownEstimates,
    Verdict,
)

SIZE = 8911


def verdict_of(estimate: int, *requests: tuple[int, int]) -> Verdict:
    """Return the last verdict on the requests: offsets and sizes."""
    reader = EstimateReader([estimate], SIZE)
    return [reader.judge(ReadRequest(*request)) for request in requests][-1]


def blocks(buffer: int, limit: int) -> list[tuple[int, int]]:
    """Return the requests of a program that reads so many bytes of the file, and not more."""
    requests, offset = [], 0
    while offset < limit and offset <= SIZE:
        size = min(buffer, limit - offset)
        requests.append((offset, size))
        offset += min(size, SIZE - offset) or limit
    return requests


@pytest.mark.parametrize("estimate", [8776, 9001, 9300])
@pytest.mark.parametrize("buffer", [512, 2048, 65_536])
def test_a_program_that_keeps_to_the_estimate_is_misled(estimate, buffer):
    reader = EstimateReader([estimate], SIZE)
    found = [reader.judge(ReadRequest(*each)) for each in blocks(buffer, estimate)]
    assert Verdict.MISLED in found
    assert set(found) <= {Verdict.MISLED, Verdict.UNDECIDED}


@given(
    estimate=st.integers(1, 3 * SIZE),
    buffer=st.sampled_from([1, 7, 417, 512, 1000, 1024, 4096, 8192, 10_000, 16_384, 65_536]),
)
def test_a_program_that_reads_whole_buffers_to_the_end_is_never_misled(estimate, buffer):
    if buffer % 512 and estimate == buffer:
        return  # it has asked for exactly the estimate
    reader, offset = EstimateReader([estimate], SIZE), 0
    while True:
        assert reader.judge(ReadRequest(offset, buffer)) is not Verdict.MISLED
        if offset == SIZE:
            break
        offset = min(SIZE, offset + buffer)
    assert reader.ended_at(ReadCount(SIZE, 1)) is None


@given(st.integers(1, 3 * SIZE), st.sampled_from([512, 4096, 65_536]))
def test_a_program_that_reads_up_to_the_size_of_fstat_is_never_misled(estimate, buffer):
    reader = EstimateReader([estimate], SIZE)
    for request in blocks(buffer, SIZE):
        assert reader.judge(ReadRequest(*request)) is not Verdict.MISLED


def test_frames_that_end_at_the_estimate_are_not_misled():
    estimate = 417 * 20
    requests = [(offset, 417) for offset in range(0, estimate, 417)]
    assert verdict_of(estimate, *requests) is Verdict.RIGHT


def test_a_request_beyond_the_estimate_is_the_last_one_of_interest():
    reader = EstimateReader([8776], SIZE)
    assert reader.judge(ReadRequest(0, 8192)) is Verdict.UNDECIDED
    assert reader.judge(ReadRequest(8192, 8192)) is Verdict.RIGHT
    assert not reader.may_be_misled
    assert reader.judge(ReadRequest(0, 8776)) is Verdict.RIGHT


@pytest.mark.parametrize(
    ("size", "calls", "expected"),
    [
        (8776, 1, 8776),
        (8776, 3, 8776),
        (8775, 1, None),
        (9001, 1, None),  # it is more than there is
        (8704, 17, 8500),  # blocks of 512 bytes
        (8704, 16, None),
        (8192, 4, 7000),  # blocks of 2,048 bytes
        (8192, 1, None),  # a buffer that holds the estimate by chance
        (8192, 2, None),
        (6144, 3, None),
        (SIZE, 5, None),
        (0, 0, None),
    ],
)
def test_who_stops_at_an_estimate_before_the_end_has_a_cut_copy(size, calls, expected):
    reader = EstimateReader([8776, 9001, 8500, 7000], SIZE)
    assert reader.ended_at(ReadCount(size, calls)) == expected


def test_of_a_file_the_estimates_that_differ_from_its_size_are_remembered():
    shown = ShownEstimates()
    assert shown.reader(1, SIZE) is None
    shown.add(1, SIZE)
    assert shown.reader(1, SIZE) is None
    for estimate in range(100, 106):
        shown.add(1, estimate)
    reader = shown.reader(1, SIZE)
    assert [n for n in range(100, 106) if reader.ended_at(ReadCount(n, 1))] == [102, 103, 104, 105]
    assert shown.reader(2, SIZE) is None
