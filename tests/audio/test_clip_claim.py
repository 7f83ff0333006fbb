"""The claim of a download, among processes that share a cache."""

from __future__ import annotations

import os

import pytest

from histfs.audio import clip_claim
from histfs.audio.disk_cache import DiskCache


@pytest.fixture
def disk(tmp_path):
    return DiskCache(tmp_path, 1 << 30)


def test_one_download_of_a_clip_has_the_claim_at_a_time(disk):
    first, second, of_another_clip = disk.claim("a"), disk.claim("a"), disk.claim("b")
    assert first.take()
    assert first.take()  # it has it
    assert not second.take()
    assert of_another_clip.take()
    first.release()
    assert second.take()
    second.release()


def test_sources_with_the_same_keys_do_not_exclude_each_other(disk):
    assert disk.claim("a").take()
    other = disk.namespace("other").claim("a")
    assert other.take()
    other.release()


def test_another_process_does_not_get_the_claim(disk):
    claim = disk.claim("a")
    assert claim.take()
    pid = os.fork()
    if not pid:
        os._exit(disk.claim("a").take())
    assert os.waitpid(pid, 0)[1] == 0
    claim.release()


def test_a_quick_download_makes_and_removes_no_file(disk, tmp_path):
    disk.claim("a").take()
    before = _changes(tmp_path)
    claim = disk.claim("b")
    assert claim.take()
    claim.note_progress()
    claim.release()
    assert _changes(tmp_path) == before


def test_a_slow_one_tells_of_its_progress_in_a_file_that_goes_with_it(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_claim, "_NOTE_INTERVAL", 0.0)
    claim = disk.claim("a")
    assert claim.take()
    claim.note_progress()
    assert [file.name for file in (tmp_path / "fetching").iterdir()] == ["a"]
    claim.release()
    assert not list((tmp_path / "fetching").iterdir())


def test_without_such_locks_each_process_fetches_for_itself(disk, monkeypatch):
    monkeypatch.setattr(clip_claim, "_TAKE", None)
    first, second = disk.claim("a"), disk.claim("a")
    assert first.take()
    assert second.take()


def _changes(root):
    """Return when the directories were changed last: each file that comes or goes changes one."""
    return {path: path.stat().st_mtime_ns for path in [root, *root.iterdir()] if path.is_dir()}
