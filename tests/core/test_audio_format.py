"""The ending of a clip, and the refusal of answers, by declared format and first bytes."""

from __future__ import annotations

import gzip
import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.audio_format import (
    WINDOW,
    actual_extension,
    declared_extension,
    is_decided,
    is_raw,
    refusal,
    sniff,
)
from histfs.core.name_forms import EXTENSIONS

OGG_PAGE = b"OggS\0\2" + bytes(20) + b"\1\x13"
OPUS = OGG_PAGE + b"OpusHead\1\1" + bytes(40)
VORBIS = OGG_PAGE + b"\1vorbis" + bytes(40)
WAV = b"RIFF$\x10\0\0WAVEfmt " + bytes(40)
FLAC = b"fLaC\0\0\0\x22" + bytes(40)
ID3 = b"ID3\4\0\0\0\0\1\x7fTSSE" + bytes(40)
MPEG = b"\xff\xfb\x90\xc4" + bytes(60)
MP4 = b"\0\0\0\x1cftypM4A \0\0\0\0" + bytes(40)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\1" + bytes(40)
ADTS = b"\xff\xf1\x50\x80\2\x1f\xfc" + bytes(60)
STRONG = [OPUS, VORBIS, WAV, FLAC, ID3, MP4, WEBM]

FORMATS = st.sampled_from(
    ["", "mp3_44100_128", "opus_48000_64", "wav_22050", "pcm_16000", "ulaw_8000", "alaw_8000"]
)
TYPES = st.sampled_from(["", "audio/mpeg", "audio/wav", "audio/ogg", "audio/l16", "text/plain"])


def refused(body: bytes, *, raw: bool = False) -> str | None:
    return refusal(body[:WINDOW], whole=len(body) <= WINDOW, raw=raw)


# Endings


@pytest.mark.parametrize(
    ("content_type", "output_format", "extension"),
    [
        ("audio/mpeg", "mp3_44100_128", "mp3"),
        ("audio/mpeg", "pcm_16000", "pcm"),
        ("audio/mpeg", "opus_48000_64", "opus"),
        ("audio/mpeg", "ULAW_8000", "ulaw"),
        ("audio/mpeg", "alaw_8000", "alaw"),
        ("audio/x-wav", "pcm_16000", "pcm"),
        ("audio/mpeg", "wav_22050", "wav"),
        ("audio/wav", "", "wav"),
        ("audio/ogg", "", "ogg"),
        ("audio/ogg", "novel_1", "ogg"),
        ("application/octet-stream", "pcm_44100", "pcm"),
        ("", "", "bin"),
        ("audio/../../etc", "/etc/passwd", "bin"),
    ],
)
def test_the_declared_extension_follows_the_output_format_then_the_type(
    content_type, output_format, extension
):
    assert declared_extension(content_type, output_format) == extension


@pytest.mark.parametrize(
    ("head", "extension"),
    [
        (OPUS, "opus"), (VORBIS, "ogg"), (WAV, "wav"), (FLAC, "flac"), (ID3, "mp3"), (MPEG, "mp3"),
        (MP4, "m4a"), (WEBM, "webm"), (ADTS, "aac"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("declared", ["mp3_44100_128", "opus_48000_64", "wav_22050"])
def test_a_signature_overrides_what_is_declared(head, extension, declared):
    assert actual_extension(head, "audio/mpeg", declared) == extension


@pytest.mark.parametrize(
    ("head", "content_type"),
    [(OPUS, "audio/ogg"), (MP4, "audio/mp4"), (ID3, "audio/aac"), (ID3, "audio/flac")],
)
def test_a_declared_extension_that_fits_the_signature_stays(head, content_type):
    assert actual_extension(head, content_type, "") == declared_extension(content_type, "")


@pytest.mark.parametrize("output_format", ["pcm_16000", "ulaw_8000", "alaw_8000"])
def test_in_a_raw_format_a_frame_sync_is_chance_and_a_long_signature_is_not(output_format):
    for weak in (MPEG, ADTS):
        assert actual_extension(weak, "audio/mpeg", output_format) == declared_extension(
            "", output_format
        )
    assert actual_extension(WAV, "audio/mpeg", output_format) == "wav"


@given(st.binary(max_size=WINDOW), TYPES, FORMATS)
def test_every_extension_is_one_of_those_that_are_known(head, content_type, output_format):
    assert actual_extension(head, content_type, output_format) in EXTENSIONS


# Refusals


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("head", [*STRONG, MPEG, ADTS])
def test_containers_are_audio(head, raw):
    assert sniff(head) is not None
    assert refused(head, raw=raw) is None


PAGES = [
    b"<!DOCTYPE html><title>Sign in</title>",
    b"\n\t <HTML lang=en>",
    b"<?xml version='1.0'?><Error/>",
    b"\xef\xbb\xbf<html>",
    b"<p>caf\xe9</p>",
    b"<html>\0\0",
    b'{"detail":{"status":"quota_exceeded"}}',
    b'  {"novel": 1}',
    b'[{"loc": ["path"]}]',
    b"{}", b"[]", b"null", b"true", b"-12.5e3", b'"gone"', b" null\n",
    json.dumps({"audio_base64": "QUJD" * 1000}).encode(),
    json.dumps(["\N{PILE OF POO}" * 300]).encode(),
    '{"message": "größer"}'.encode(),
    '{"detail": "gone"}'.encode("utf-16"),
    '{"detail": "gone"}'.encode("utf-16-be"),
    "<html>".encode("utf-16-le"),
    "Bad Gateway".encode("utf-16"),
    b"Internal Server Error",
    b"upstream connect error or disconnect/reset before headers\r\n",
    b"Not found. " * 500,
    gzip.compress(ID3, mtime=0),
    b"PK\3\4\x14\0\0\0\0\0",
]  # fmt: skip


@pytest.mark.parametrize("raw", [False, True], ids=["declared MP3", "declared PCM"])
@pytest.mark.parametrize("body", PAGES, ids=lambda body: repr(body[:24]))
def test_pages_json_words_and_packed_files_are_never_audio(body, raw):
    assert refused(body, raw=raw)


@pytest.mark.parametrize(
    "body",
    [
        b"Forbidden", b"error", b"x" * 20, "Запрещено".encode(), "エラー".encode(),
        "エラー、".encode() * 200, b"d41d8cd98f00b204e9800998ecf8427e" * 20,
        b"data:audio/mpeg;base64,",
    ],
)  # fmt: skip
def test_other_text_is_no_audio_in_a_container_format(body):
    assert refused(body) == "text"


@pytest.mark.parametrize("silence", [0x00, 0x55, 0x54, 0x7F, 0x80, 0xD5, 0xFF, 0x7E])
@pytest.mark.parametrize("raw", [False, True])
def test_silence_is_audio_also_where_the_type_says_mp3(silence, raw):
    assert refused(bytes([silence]) * 4000, raw=raw) is None


@pytest.mark.parametrize(
    "body",
    [
        b"UTWVQPSR" * 500,  # A-law, small negative samples alone
        b"{|}{}~{{" * 500,  # u-law, the same
        b"[\\]^_`abcdefghijklmnop" * 200,  # u-law with a large offset
        b"[[[[]]\\\\^^" * 400,
        struct.pack("<300h", *(60 + n % 40 for n in range(300))),  # quiet PCM that reads as UTF-16
        struct.pack("<h", -257) + struct.pack("<300h", *(ord("a") + n % 20 for n in range(300))),
    ],
)
def test_what_reads_like_text_by_chance_is_audio_in_a_raw_format(body):
    assert refused(body, raw=True) is None


@given(st.lists(st.integers(-400, 400), min_size=WINDOW, max_size=WINDOW), st.integers(-3000, 3000))
def test_pcm_is_audio_however_quiet(samples, offset):
    body = struct.pack(f"<{len(samples)}h", *(sample + offset for sample in samples))
    assert refused(body, raw=True) is None or len(set(samples)) == 1


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_is_never_audio(value):
    body = json.dumps(value).encode()
    # A long string of few letters may be silence.
    if len(body) < 64 or len(set(body)) >= 8:
        assert refused(body)


# Decisions on a prefix


@pytest.mark.parametrize("head", STRONG)
def test_a_container_is_decided_by_its_first_bytes(head):
    assert is_decided(head[:64])


@given(
    st.binary(max_size=80)
    | st.sampled_from([body[:n] for body in [*STRONG, MPEG, *PAGES] for n in (1, 2, 9, 30, 64)])
    | st.text(max_size=80).map(str.encode),
    st.binary(max_size=2 * WINDOW) | st.sampled_from([b"html>", b" of words", b"\0" * 90]),
    st.booleans(),
)
@example(b"<html", b"\0> more words", False)
@example(b"\1", b"\0", False)
def test_what_is_decided_stays_as_it_is_whatever_comes(head, rest, raw):
    if not is_decided(head):
        return
    both = head + rest
    assert (refusal(head, whole=False, raw=raw) is None) == (
        refusal(both, whole=True, raw=raw) is None
    )
    for declared in ("mp3_44100_128", "pcm_16000"):
        assert actual_extension(head, "", declared) == actual_extension(both, "", declared)


def test_no_more_is_held_back_than_the_window():
    assert is_decided(b"U" * WINDOW)
    assert not is_decided(b"U" * (WINDOW - 1))


def test_raw_is_what_is_declared_to_be():
    assert is_raw("audio/mpeg", "pcm_16000")
    assert is_raw("audio/basic", "")
    assert not is_raw("audio/l16", "mp3_44100_128")
