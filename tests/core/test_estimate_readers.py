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
    Suspicions,
    Verdict,
    buffered_estimate,
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


def buffered(buffer: int, estimate: int, part: int) -> list[tuple[int, int]]:
    """Return the requests by which C and Python read so many bytes, in parts of so many."""
    requests, offset = [], 0
    while offset < estimate:
        wanted = min(part, estimate - offset)
        whole = wanted - wanted % buffer
        if whole:
            requests.append((offset, whole))
        if wanted % buffer:
            requests.append((offset + whole, buffer))
        offset += wanted
    return requests


@given(st.integers(14 * 4096 + 1, 2_000_000).filter(lambda size: size % 512))
def test_a_size_has_an_estimate_by_which_buffered_readers_are_found(size):
    estimate = buffered_estimate(size)
    assert estimate is not None
    assert size - 23 * 4096 < estimate <= size - 4096
    assert estimate % 512
    for part in (estimate, 16_384, 65_536, 1 << 20):
        reader = EstimateReader([estimate, size + 9999], size)
        requests = buffered(4096, estimate, part)
        verdicts = [reader.judge(ReadRequest(*each)) for each in requests]
        assert Verdict.MISLED in verdicts or requests[-2][1] in (4096, part)
    for block in (4096, 8192, 65_536):
        pages = -(-estimate // 4096)
        if pages * 4096 < size:
            read = ReadCount(pages * 4096, -(-estimate // block) + 1)
            assert EstimateReader([estimate], size).ended_at(read) == estimate


@pytest.mark.parametrize(("size", "pages"), [(17_000, 3), (35_000, 7), (50_000, 11)])
def test_estimates_of_small_clips_tell_c_and_python_by_their_request(size, pages):
    estimate = buffered_estimate(size)
    assert estimate // 4096 == pages
    reader = EstimateReader([estimate], size)
    assert reader.judge(ReadRequest(0, pages * 4096)) is Verdict.MISLED
    # By parts of 8,192 bytes, the last one of which is a whole page and a begun one.
    read = ReadCount((pages + 1) * 4096, pages // 2 + 2)
    assert reader.ended_at(read) == estimate
    assert reader.ended_at(ReadCount((pages + 1) * 4096, 1)) is None
    assert reader.ended_at(ReadCount(pages * 4096, pages // 2 + 2)) is None


@pytest.mark.parametrize("size", [1, 4097, 8911, 16_383])
def test_the_smallest_clips_have_no_such_estimate(size):
    assert buffered_estimate(size) is None


@given(
    size=st.integers(60_000, 400_000).filter(lambda size: size % 512),
    buffer=st.sampled_from([4096, 8192, 10_240, 20_480, 32_768, 40_960, 49_152, 102_400]),
    header=st.sampled_from([0, 4096, 8192, 65_536]),
)
def test_a_reader_to_the_end_is_not_taken_for_a_buffered_one(size, buffer, header):
    estimate = buffered_estimate(size)
    reader, offset = EstimateReader([estimate], size), 0
    while offset < size:
        wanted = header if header and not offset and buffer & (buffer - 1) == 0 else buffer
        assert reader.judge(ReadRequest(offset, wanted)) is not Verdict.MISLED
        offset += wanted


@pytest.mark.parametrize("buffer", [4096, 8192, 65_536])
@pytest.mark.parametrize("pages", [1, 2, 4, 8, 16, 24, 32, 64])
def test_who_reads_the_first_round_number_of_bytes_is_not_taken_for_one(buffer, pages):
    reader = EstimateReader([buffered_estimate(200_001 + pages)], 300_000)
    read = ReadCount(pages * 4096, max(1, pages * 4096 // buffer))
    assert reader.ended_at(read) is None


def test_the_whole_buffers_of_an_estimate_that_is_too_large_are_right():
    estimate = 13 * 4096 + 5
    reader = EstimateReader([estimate], 13 * 4096 - 5)
    assert reader.judge(ReadRequest(0, 13 * 4096)) is Verdict.UNDECIDED


def suspected(*clips: tuple[int, int, ReadCount]) -> list[int | None]:
    """Return, after each clip, the estimate by which the process is found to have read one.

    Args:
        clips: estimate, exact size, and what was read.
    """
    suspicions = Suspicions()
    cuts = [
        suspicions.note("process", "name", EstimateReader([estimate], size), read)
        for estimate, size, read in clips
    ]
    return [cut and cut.estimate for cut in cuts]


WHOLE = (400_000, 200_001, ReadCount(200_001, 50))


@pytest.mark.parametrize(
    ("size", "calls"),
    [
        (16_384, 4),  # buffers of 4,096 bytes
        (16_384, 2),  # of 8,192
        (16_382, 2),  # of 8,191: C++
        (16_384, 3),  # 8,192 bytes at once, and the rest by buffers of a page
        (12_288, 3),
    ],
)
def test_who_stops_in_the_buffer_of_an_estimate_and_reads_another_clip_further_is_misled(
    size, calls
):
    cut = (size - 2422, 41_081, ReadCount(size, calls))
    assert suspected(WHOLE, cut) == [None, size - 2422]
    assert suspected(cut, WHOLE) == [None, size - 2422]
    assert suspected(cut, cut) == [None, None]


@pytest.mark.parametrize(
    "cut",
    [
        (13_962, 41_081, ReadCount(20_480, 5)),  # beyond the buffer of the estimate
        (13_962, 41_081, ReadCount(12_288, 3)),  # before it
        (13_962, 41_081, ReadCount(16_384, 1)),  # a large buffer: by chance
        (13_962, 41_081, ReadCount(16_000, 4)),
        (13_962, 41_081, ReadCount(0, 0)),
    ],
)
def test_who_stops_elsewhere_is_not_suspected(cut):
    assert suspected(WHOLE, cut) == suspected(cut, WHOLE) == [None, None]


def test_who_looks_at_the_head_of_each_clip_reads_small_ones_to_the_end_and_is_not_misled():
    head = (13_962, 41_081, ReadCount(16_384, 4))
    small = (30_000, 16_000, ReadCount(16_000, 5))
    assert suspected(small, head, head, small) == [None] * 4


def test_who_reads_as_much_of_clips_with_other_estimates_is_not_misled():
    head = (13_962, 41_081, ReadCount(16_384, 4))
    other = (400_000, 200_001, ReadCount(16_384, 4))
    assert suspected(other, head, WHOLE) == [None] * 3
    assert suspected(head, other, WHOLE) == [None] * 3
    elsewhere = (400_000, 200_001, ReadCount(20_480, 5))
    assert suspected(elsewhere, head, WHOLE) == [None, None, 13_962]
