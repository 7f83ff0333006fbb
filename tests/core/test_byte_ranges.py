"""The Range header of a request."""

import pytest

from histfs.core.byte_ranges import parse_range


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-", range(100)),
        ("bytes=0-0", range(1)),
        ("bytes=10-19", range(10, 20)),
        ("Bytes= 90-500 ", range(90, 100)),
        ("bytes=99-", range(99, 100)),
        ("bytes=-10", range(90, 100)),
        ("bytes=-500", range(100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
    ],
)
def test_a_range_is_cut_to_the_size(header, found):
    parsed = parse_range(header)
    assert parsed is not None
    assert parsed.within(100) == found


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,5-6", "items=0-1",
     "bytes=a-b", "bytes=+1-2", "bytes=1.0-2", "bytes=٣-٤", f"bytes=0-{'9' * 5000}"],
)  # fmt: skip
def test_what_is_no_single_range_is_ignored(header):
    assert parse_range(header) is None


def test_only_a_range_from_the_first_byte_to_the_end_is_the_whole():
    asked = {each: parse_range(each) for each in ("bytes=0-", "bytes=1-", "bytes=0-5", "bytes=-5")}
    assert [each for each, found in asked.items() if found and found.is_all] == ["bytes=0-"]
