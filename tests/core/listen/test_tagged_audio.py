"""ID3 tags in front of MP3 clips, read back by mutagen; the frames behind them stay as they are."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from histfs.core.captions import TimedWord
from histfs.core.listen.id3 import TagFields, frames_of, tag_length, tag_of
from histfs.core.listen.tagged_audio import _Tagged
from histfs.core.nodes import BytesFile
from histfs.core.size_estimate import BUFFER
from histfs.core.waiting import Waiter
from histfs.simulator.sample_clips import load_samples
from tests.support.memory import record

mutagen = pytest.importorskip("mutagen.mp3")

MOMENT = 1_714_650_306  # 2024-05-02T11:45:06Z
CLIP = "/listen/by-voice/Rachel/2024-05-02 11.45 Hello wörld 🎙 and so on and so on.mp3"
HOME = "/by-date/2024/05/02/2024-05-02T11-45-06_hello-wörld-and-so-on-and-so-on_one/audio.mp3"
TEXT = "Hello wörld 🎙 and so on and so on"
FRAMES = load_samples().clips[0].frames
#: A tag with padding, as encoders write it, and one with a footer.
SERVER_TAG = tag_of(frames_of(TagFields("of the server", "", "", "", "")), 17)
FOOTED = b"ID3\x04\0\x10\0\0\0\x05" + bytes(5) + b"3DI\x04\0\x10\0\0\0\x05"
ONE = record("one", MOMENT, TEXT)
BEGINNINGS = {
    "frames alone": (b"", FRAMES),
    "a tag": (SERVER_TAG, FRAMES),
    "a tag with a footer": (FOOTED, FRAMES),
    "two tags": (SERVER_TAG + FOOTED, FRAMES),
    "a tag longer than the clip": (b"", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + FRAMES),
}


@pytest.mark.parametrize(("tag", "frames"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_the_tag_takes_the_place_of_the_one_that_is_there_and_the_frames_stay(
    listened, tag, frames
):
    world = listened(ONE, tags=True)
    world.audio.clips["one"] = tag + frames
    content = world.read(CLIP)
    begin = tag_length(content[:10])
    assert content[begin:] == frames
    assert world.stat(CLIP).size == len(content)
    assert world.read(HOME) == tag + frames
    assert len(content) - len(tag + frames) == begin - len(tag)


def test_mutagen_reads_what_was_written(listened):
    world = listened(ONE, tags=True)
    world.audio.clips["one"] = SERVER_TAG + FRAMES
    found = mutagen.MP3(io.BytesIO(world.read(CLIP)))
    texts = {name: str(found.tags[name]) for name in ("TIT2", "TPE1", "TALB", "TDRC")}
    assert texts == {
        "TIT2": TEXT,
        "TPE1": "Rachel",
        "TALB": "2024-05",
        "TDRC": "2024-05-02 11:45:06",
    }
    assert str(found.tags["COMM::XXX"]) == str(found.tags["USLT::XXX"]) == TEXT
    assert found.tags.version == (2, 4, 0)
    bare = mutagen.MP3(io.BytesIO(FRAMES)).info
    assert (found.info.bitrate, found.info.sample_rate) == (bare.bitrate, bare.sample_rate)
    assert found.info.length == pytest.approx(bare.length, abs=0.01)


def test_words_with_times_are_synchronized_lyrics(listened):
    words = [TimedWord("Hello", 0, 400), TimedWord("wörld", 70_000, 71_000, "\n")]
    world = listened(ONE, tags=True, words=words)
    world.audio.clips["one"] = FRAMES
    (lyrics,) = mutagen.MP3(io.BytesIO(world.read(CLIP))).tags.getall("SYLT")
    assert lyrics.text == [("Hello", 0), ("\nwörld", 70_000)]
    assert (lyrics.format, lyrics.type, lyrics.lang) == (2, 1, "XXX")


def test_a_tag_survives_odd_texts():
    odd = "a\0b\ud800 ÿ"
    tag = tag_of(frames_of(TagFields(odd, "", "", "", odd * 10_000)), 0)
    found = mutagen.MP3(io.BytesIO(tag + FRAMES)).tags
    assert str(found["TIT2"]) == "a b? ÿ"
    assert len(str(found["USLT::XXX"])) == 60_000
    assert "TPE1" not in found


def test_audio_with_a_tag_is_a_file_of_its_own_and_other_formats_have_none(listened):
    wav = record("wav", MOMENT, "Wave", content_type="audio/wav")
    world = listened(ONE, wav, tags=True, links=0)
    world.audio.clips["wav"] = b"RIFF\x24\0\0\0WAVEfmt "
    by_date = CLIP.replace("by-voice/Rachel", "by-date/2024-05")
    assert world.stat(CLIP).inode == world.stat(by_date).inode != world.stat(HOME).inode
    assert world.stat(CLIP).links == 2
    wave = "/listen/by-voice/Rachel/2024-05-02 11.45 Wave.wav"
    assert world.read(wave) == world.audio.clips["wav"]


def test_a_clip_that_turns_out_to_be_no_mp3_has_no_tag(listened):
    world = listened(ONE, tags=True)
    world.audio.clips["one"] = b"RIFF\x24\0\0\0WAVEfmt "
    world.stat(CLIP)
    assert world.read(CLIP) == world.audio.clips["one"]
    assert world.stat(CLIP) == world.stat(HOME)._replace(is_lasting=False)


def test_an_estimate_is_no_multiple_of_a_buffer(listened):
    """A program that keeps to an estimate is known by that."""
    length = listened(ONE, tags=True).stat(CLIP).size - ONE.item.estimate
    for estimate in (1000, 10 * BUFFER - length):
        odd = replace(ONE, item=replace(ONE.item, estimate=estimate))
        shown = listened(odd, tags=True).stat(CLIP)
        assert not shown.size_is_exact and shown.size % BUFFER
        assert shown.size - estimate - length in (0, 1)


def test_any_read_gives_the_bytes_at_its_place():
    clip = SERVER_TAG + FRAMES[:3000]
    frames = frames_of(TagFields("Title", "Rachel", "2024-05", "2024", "text"))
    tagged = _Tagged(BytesFile(clip).read, frames, len(clip))
    whole = tagged.read(0, 1 << 20, Waiter(5))
    assert len(whole) == len(clip) + tagged.length
    for offset in (0, 1, 9, len(whole) - 3001, len(whole) - 3000, len(whole) - 1, len(whole)):
        for size in (1, 10, 2999, 1 << 20):
            assert tagged.read(offset, size, Waiter(5)) == whole[offset : offset + size]


def test_a_clip_that_is_coming_gives_its_tag_at_once():
    """A read of what comes may be short, and must not wait for more than it has."""
    served = SERVER_TAG + FRAMES[:100]
    reads = []

    def read(offset, size, waiter):
        reads.append(offset)
        return served[offset : offset + min(size, 3)]

    tagged = _Tagged(read, frames_of(TagFields("Title", "", "", "", "")))
    first = tagged.read(0, 4096, Waiter(5))
    assert tag_length(first[:10]) == len(first)
    assert max(reads) < len(SERVER_TAG) + 10
    assert tagged.read(len(first), 4096, Waiter(5)) == FRAMES[:3]
