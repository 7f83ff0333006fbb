import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from histfs.core.size_estimate import audio_bytes, call_bytes, size_in_header


@pytest.mark.parametrize(
    ("output_format", "size"),
    [
        ("mp3_44100_128", 160_000),
        ("mp3_22050_32", 40_000),
        ("opus_48000_64", 80_000),
        ("pcm_16000", 320_001),
        ("wav_44100", 882_044),
        ("ulaw_8000", 80_000),
        ("alaw_8000", 80_000),
        ("MP3_44100_128", 160_000),
    ],
)
def test_ten_seconds_are_as_long_as_the_format_says(output_format, size):
    assert audio_bytes("audio/mpeg", output_format, 10.0, 5) == size


@pytest.mark.parametrize("output_format", ["", "default", "mp3", "flac_44100", "mp3_x_y", "_"])
def test_an_unknown_format_is_taken_for_the_apis_default(output_format):
    assert audio_bytes("audio/mpeg", output_format, 10.0, 0) == 160_000


def test_without_a_format_wav_is_taken_for_pcm_with_a_header():
    assert audio_bytes("audio/wav", "", 10.0, 0) == 44 + 882_000


@pytest.mark.parametrize("seconds", [None, 0.0, -3.0, math.nan, math.inf, 1e12])
def test_without_a_usable_duration_the_text_tells_it(seconds):
    assert audio_bytes("", "mp3_44100_128", seconds, 1000) == 1_000_000


def test_a_clip_without_a_text_is_taken_for_ten_seconds():
    assert audio_bytes("", "mp3_44100_128", None, 0) == 160_000


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        (27, 410_400),
        (0.5, 15_200),
        (0, 15_200),
        (-3, 15_200),
        (None, 15_200),
        (1e300, 1_313_280_001),
    ],
)
def test_a_conversation_is_as_large_as_it_is_long_but_neither_empty_nor_endless(seconds, size):
    assert call_bytes(seconds) == size


@given(st.integers(0, 10_000), st.integers(0, 4_000))
def test_no_estimate_is_a_number_of_whole_buffers(characters, seconds):
    assert audio_bytes("audio/mpeg", "mp3_44100_128", None, characters) % 512
    assert audio_bytes("audio/mpeg", "pcm_16000", seconds, characters) % 512
    assert call_bytes(seconds) % 512


numbers = st.one_of(st.integers(-9, 10**6), st.integers(), st.sampled_from([10**30, 10**400]))
formats = st.one_of(
    st.text(),
    st.builds(
        lambda codec, some: "_".join([codec, *map(str, some)]),
        st.sampled_from(["mp3", "pcm", "wav", "opus", "ulaw", "xyz", ""]),
        st.lists(numbers, max_size=3),
    ),
)


@settings(max_examples=50)
@example("", "pcm_99999999999999999999", None, 0)
@example("", "pcm_1" + "0" * 400, None, 0)
@given(st.text(), formats, st.none() | st.floats(), st.integers(0, 2**40))
def test_whatever_the_api_says_the_size_is_one_that_a_file_can_have(
    content_type, output_format, seconds, characters
):
    assert 1 <= audio_bytes(content_type, output_format, seconds, characters) < 2**63


FRAME = b"\xff\xfb\x90\x64"
ID3 = b"ID3\4\0\0\0\0\1\2" + bytes(0x82)


def xing(flags: int, *numbers: int, side: int = 32, name: bytes = b"Info") -> bytes:
    return (
        FRAME
        + bytes(side)
        + name
        + struct.pack(f">{1 + len(numbers)}I", flags, *numbers)
        + bytes(99)
    )


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"RIFF" + struct.pack("<I", 1000) + b"WAVEfmt ", 1008),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", None),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"RIFF\0", None),
        (xing(3, 40, 5000), 5000),
        (xing(2, 5000, side=17, name=b"Xing"), 5000),
        (xing(15, 40, 5000, side=9), 5000),
        (ID3 + xing(3, 40, 5000), 5000 + len(ID3)),
        (xing(1, 40, 5000), None),
        (xing(3, 40, 0), None),
        (xing(3, 40, 5000)[:46], None),
        (FRAME + bytes(500), None),
        (b"OggS" + bytes(500), None),
        (b"ID3", None),
        (b"", None),
    ],
)
def test_a_header_tells_the_size_of_its_file(head, size):
    assert size_in_header(head) == size
