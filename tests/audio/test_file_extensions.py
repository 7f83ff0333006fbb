"""What the first bytes of clips tell: their right names, and that an answer is no clip."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from histfs.audio import file_extensions
from histfs.audio.verification import CheckOutcome, verify
from histfs.core.errors import BadAnswer, CacheFailed, Unreachable
from histfs.core.waiting import Waiter
from tests.audio.conftest import TIMEOUT, StepSource
from tests.support.memory import MemorySource, record

OPUS = b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead" + bytes(40)
MPEG = b"\xff\xfb\x90\xc4" + bytes(60)
PAGE = b'{"detail": {"status": "quota_exceeded"}}'
PAGES = [PAGE, b"\n <HTML><p>Sign in", b"null", b"Internal Server Error"]


def waiter():
    return Waiter(TIMEOUT)


def path_of(world, key="a"):
    (path,) = (world.disk.root / "audio").glob(f"*/{key}")
    return path


# Names


def test_the_name_is_right_once_the_clip_has_come_and_is_kept(make_world):
    world = make_world()
    item = world.item()
    world.source.clips["a"] = OPUS
    assert world.store.extension(item) == "mp3"
    world.read(item)
    assert world.store.extension(item) == "opus"
    assert world.extensions == {"a": "opus"}
    again = make_world(world.source)
    assert again.store.extension(replace(item, extension="opus")) == "opus"


def test_the_name_is_right_before_any_reader_has_a_byte(make_world):
    source = StepSource([OPUS, b"the rest"], length=len(OPUS) + 8)
    world = make_world(source)
    source.go()
    file = world.store.open(world.item(), waiter())
    assert file.size == len(OPUS) + 8
    assert world.store.extension(world.item()) == "opus"
    assert world.extensions == {}
    source.go()
    file.read(0, file.size, waiter())
    world.flush()
    assert world.extensions == {"a": "opus"}


def test_a_clip_that_was_cached_before_its_bytes_were_looked_at_is_found_out_when_it_is_opened(
    make_world,
):
    before = make_world()
    before.source.clips["a"] = OPUS
    before.read(before.item())
    world = make_world(before.source)
    item = world.item(size=len(OPUS))
    assert world.store.extension(item) == "mp3"
    world.store.open(item, waiter()).close()
    assert (world.store.extension(item), world.extensions) == ("opus", {"a": "opus"})
    assert world.fetched == 1


def test_a_clip_that_is_what_it_is_declared_to_be_is_not_noted(world):
    world.source.clips["a"] = MPEG
    world.read(world.item())
    assert (world.store.extension(world.item()), world.extensions) == ("mp3", {})


def test_a_clip_that_is_something_else_by_now_is_renamed_again(world):
    world.source.clips["a"] = MPEG
    item = replace(world.item(), extension="opus")
    world.read(item)
    assert (world.store.extension(item), world.extensions) == ("mp3", {"a": "mp3"})


def test_what_a_damaged_catalog_says_is_no_extension(world):
    assert world.store.extension(replace(world.item(), extension="../../x")) == "mp3"


def test_an_extension_that_can_not_be_kept_is_right_all_the_same(make_world, caplog):
    world = make_world()

    def full(key, extension):
        raise CacheFailed("the disk is full")

    world.store._extensions._store = full
    world.source.clips["a"] = OPUS
    assert world.read(world.item()) == OPUS
    assert world.store.extension(world.item()) == "opus"
    assert "can't be kept: the disk is full" in caplog.text


# What is no clip


@pytest.mark.parametrize("length", [None, 40])
def test_what_comes_byte_by_byte_is_held_back_until_it_is_known_to_be_audio(make_world, length):
    body = PAGE[:40]
    source = StepSource([bytes([byte]) for byte in body], length=length)
    source.go(3 * len(body))
    world = make_world(source)
    with pytest.raises(BadAnswer, match="not audio but a web page, or an error message"):
        world.store.open(world.item(), waiter())
    assert (world.kept(), world.unfinished(), world.sizes) == (set(), [], {})


def test_audio_that_comes_byte_by_byte_is_whole(make_world):
    source = StepSource([bytes([byte]) for byte in OPUS])
    source.go(len(OPUS))
    world = make_world(source)
    assert world.read(world.item()) == OPUS


@pytest.mark.parametrize("page", PAGES)
def test_an_answer_that_only_says_it_is_audio_is_an_error_and_asked_for_again(world, page):
    item = world.item()
    world.source.clips["a"] = page
    with pytest.raises(BadAnswer, match="not audio but"):
        world.store.open(item, waiter())
    assert world.store.cached_size(item) is None
    assert (world.sizes, world.extensions) == ({}, {})
    world.source.clips["a"] = MPEG
    assert world.read(item) == MPEG


def test_silence_in_a_raw_format_is_audio(world):
    made = record("a", 1_714_650_306, content_type="audio/pcm")
    item = replace(made.item, output_format="alaw_8000")
    world.source.add(made)
    world.source.clips["a"] = b"U" * 4000
    assert world.read(item) == b"U" * 4000


def cached_page(make_world, page):
    """Return a world whose cache holds a page, as an earlier version may have kept it."""
    before = make_world(MemorySource())
    before.source.clips["a"] = MPEG
    before.read(before.item())
    path = path_of(before)
    path.write_bytes(page)
    world = make_world(before.source)
    world.sizes["a"], world.checksums["a"] = len(page), os.urandom(32)
    return world


@pytest.mark.parametrize("page", PAGES)
def test_a_page_in_the_cache_is_fetched_anew_when_it_is_opened(make_world, page):
    world = cached_page(make_world, page)
    item = world.item()
    assert world.size(item) == len(page)
    assert world.store.cached_size(item) is None
    assert world.read(item) == MPEG
    assert world.sizes == {"a": len(MPEG)}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_in_the_cache_is_no_copy_of_what_is_about_to_be_deleted(make_world, page):
    world = cached_page(make_world, page)
    world.store.ensure_verified(world.item(), waiter())
    assert path_of(world).read_bytes() == MPEG


@pytest.mark.parametrize("page", PAGES)
def test_an_item_whose_audio_is_but_a_page_can_not_be_archived(make_world, page):
    world = cached_page(make_world, page)
    world.source.fail("audio", Unreachable("no network"))
    with pytest.raises(Unreachable):
        world.store.ensure_verified(world.item(), waiter())
    assert world.kept() == set()


@pytest.mark.parametrize("page", PAGES)
def test_verifying_removes_pages(make_world, page):
    world = cached_page(make_world, page)
    (result,) = verify(world.disk, lambda key: None)
    assert result.kind is CheckOutcome.DAMAGED
    assert result.why.startswith("it is not audio but ")
    assert world.kept() == set()


def test_downloads_that_break_again_and_again_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(file_extensions, "_UNSTORED", 10)
    extensions = file_extensions.FileExtensions(lambda *_: None)
    for number in range(100):
        extensions.detect(record(f"item{number}", 1).item, OPUS)
    assert len(extensions._unstored) <= 10
