"""The trash: its items are complete, private, and exported unchanged."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from histfs.core.errors import Unreachable
from histfs.trash import NotInTrash, Trash, TrashDamaged, TrashEntry, TrashFailed
from histfs.trash.trash_entry import FileDigest

FILES = {"text.txt": [b"Hello World\n"], "audio.mp3": [b"au", b"dio"]}
NAME = "2024-05-02T11-45-06_hello-world_one"
DATE = 1_714_650_306


def entry(item_id: str = "one", **more: object) -> TrashEntry:
    given = {
        "id": item_id, "key": item_id, "name": NAME, "date": DATE, "archived": DATE + 60,
        "deleted": None, "base_url": "https://api.elevenlabs.io", "profile": "default", "files": {},
    }  # fmt: skip
    return TrashEntry(**{**given, **more})  # type: ignore[arg-type]


@pytest.fixture
def trash(tmp_path) -> Trash:
    return Trash(tmp_path / "data" / "trash")


def tree(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def test_what_was_put_there_is_found_with_its_files_and_checksums(trash):
    item = trash.add(entry(), FILES)
    assert list(trash.items()) == [item]
    assert trash.find("one") == trash.find(item.path.name) == item
    assert item.path.name == "20240502T114606Z_one"
    assert (item.path / "audio.mp3").read_bytes() == b"audio"
    assert item.entry.files["audio.mp3"].size == 5
    assert item.entry.files["audio.mp3"].sha256.startswith("6ed8919ce20490a5")
    assert item.entry.size == 17


def test_an_empty_trash_has_nothing_and_is_made_when_it_is_needed(trash):
    assert list(trash.items()) == []
    with pytest.raises(NotInTrash, match="one is not in the trash"):
        trash.find("one")
    assert not trash.root.exists()


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o377])
def test_nobody_else_may_look_into_it_whatever_the_umask(trash, umask):
    # Made in advance: with the last umask an owner other than root can't write into it.
    trash.root.parent.mkdir()
    before = os.umask(umask)
    try:
        item = trash.add(entry(), FILES)
    finally:
        os.umask(before)
    assert stat.S_IMODE(trash.root.stat().st_mode) == 0o700
    for path in tree(trash.root):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted
    assert len(tree(item.path)) == 3


def test_one_that_others_may_look_into_is_closed_to_them(trash):
    trash.root.mkdir(parents=True)
    trash.root.chmod(0o755)
    trash.open()
    assert stat.S_IMODE(trash.root.stat().st_mode) == 0o700


def test_what_can_not_be_read_to_its_end_leaves_nothing_behind(trash):
    def broken():
        yield b"au"
        raise Unreachable("the connection broke")

    with pytest.raises(Unreachable):
        trash.add(entry(), {**FILES, "audio.mp3": broken()})
    assert tree(trash.root) == []


def test_a_trash_that_can_not_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrashFailed, match="can't be written: "):
        Trash(tmp_path / "file" / "trash").add(entry(), FILES)
    with pytest.raises(TrashFailed, match="can't be used: "):
        Trash(tmp_path / "file" / "trash").open()


def test_one_item_can_be_there_several_times_and_the_newest_is_found(trash):
    item = [trash.add(entry(archived=DATE + when), FILES) for when in (9, 9, 9, 8)]
    assert len({one.path for one in item}) == 4
    assert trash.find("one") == item[2]


def test_an_id_is_not_taken_for_another_items_key(trash):
    escaped = trash.add(entry("a%2Fb", key="a%252Fb"), FILES)
    plain = trash.add(entry("a/b", key="a%2Fb"), FILES)
    assert trash.find("a%2Fb") == escaped
    assert trash.find("a/b") == trash.find(plain.path.name) == plain


def test_that_it_is_deleted_is_noted(trash):
    item = trash.add(entry(), FILES)
    assert trash.find("one").entry.deleted is None
    trash.mark_deleted(item, DATE + 61)
    assert trash.find("one").entry.deleted == DATE + 61
    assert len(tree(item.path)) == 3


def test_what_is_removed_is_gone_and_the_rest_stays(trash):
    gone, stays = (trash.add(entry(name), FILES) for name in ("x" * 230, "two"))
    trash.remove(gone)
    trash.remove(gone)
    assert list(trash.items()) == [stays]
    assert len(tree(trash.root)) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from histfs.trash import Trash
from tests.trash.test_trash import entry

def content():
    yield b"au"
    print(flush=True)
    signal.pause()

Trash(Path(sys.argv[1])).add(entry(), {"audio.mp3": content()})
"""


def test_a_process_that_is_killed_leaves_nothing_that_stays(trash):
    command = [sys.executable, "-c", KILLED, str(trash.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        trash.remove_leftovers()
        assert len(tree(trash.root)) == 2, "it is being written"
        assert list(trash.items()) == []
        child.send_signal(signal.SIGKILL)
    trash.remove_leftovers()
    assert tree(trash.root) == []


def test_it_comes_out_as_it_went_in(trash, tmp_path):
    item = trash.add(entry(), FILES)
    place = trash.export(item, tmp_path / "out")
    assert place == tmp_path / "out" / NAME
    found = {path.name: path.read_bytes() for path in place.iterdir()}
    assert found == {name: b"".join(chunks) for name, chunks in FILES.items()}
    assert {path.stat().st_mtime for path in (place, *place.iterdir())} == {DATE}
    assert trash.find("one") == item


def test_nothing_is_written_over(trash, tmp_path):
    item = trash.add(entry(), FILES)
    (tmp_path / NAME).symlink_to("nowhere")
    with pytest.raises(TrashFailed, match="already exists"):
        trash.export(item, tmp_path)


def test_what_is_damaged_does_not_come_out(trash, tmp_path):
    item = trash.add(entry(), FILES)
    (item.path / "audio.mp3").write_bytes(b"olive")
    with pytest.raises(TrashDamaged, match=r"audio\.mp3"):
        trash.export(item, tmp_path / "out")
    assert tree(tmp_path / "out") == []


def entry_with(path: str) -> bytes:
    """Return an entry that names a file at a path."""
    return entry(files={path: FileDigest(1, "0" * 64)}).to_json().encode()


def test_files_in_a_folder_are_kept_and_exported_there(trash, tmp_path):
    files = {"text.txt": [b"words"], "files/a.pdf": [b"one"], "files/b.pdf": [b"two"]}
    item = trash.add(entry(), files)
    assert trash.find("one").entry.files == item.entry.files
    assert set(item.entry.files) == set(files)
    folder = item.path / "files"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "a.pdf").stat().st_mode & 0o777 == 0o600
    out = trash.export(item, tmp_path / "out")
    assert (out / "files/a.pdf").read_bytes() == b"one"
    assert {path.stat().st_mtime for path in (out / "files", out / "files/b.pdf")} == {DATE}
    (folder / "b.pdf").write_bytes(b"six")
    with pytest.raises(TrashDamaged, match=r"files/b\.pdf"):
        trash.export(item, tmp_path / "again")
    assert tree(tmp_path / "again") == []


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"\xff", b"[" * 100_000, entry(name="../../x").to_json().encode(),
        entry_with("../x"), entry_with("files/.."), entry_with("a/b/c"), entry_with("/x"),
        entry_with("files/"), entry_with("entry.json/x"),
    ],
    ids=[
        "empty", "no fields", "a list", "no text", "nested", "leads elsewhere",
        "above", "no name", "deep", "absolute", "a folder", "in the entry",
    ],
)  # fmt: skip
def test_an_entry_that_can_not_be_read_is_listed_as_such_and_hides_no_other(
    trash, content, tmp_path, caplog
):
    odd, good = trash.add(entry("odd"), FILES), trash.add(entry("two"), FILES)
    (odd.path / "entry.json").write_bytes(content)
    assert [(item.path, bool(item.entry)) for item in trash.items()] == [
        (odd.path, False), (good.path, True)
    ]  # fmt: skip
    with pytest.raises(TrashDamaged):
        trash.export(next(trash.items()), tmp_path / "out")
    caplog.clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("whose", ["the trash", "a link"])
def test_nothing_is_put_into_another_users_trash(trash, tmp_path, whose):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    trash.root.parent.symlink_to(elsewhere)
    trash.add(entry(), {"text.txt": [b"text"]})
    os.lchown(trash.root if whose == "the trash" else trash.root.parent, 12345, 12345)
    before = tree(elsewhere)
    for use in (trash.open, lambda: trash.add(entry("two"), {"text.txt": [b"text"]})):
        with pytest.raises(TrashFailed, match=r"another user \(12345\)"):
            use()
    assert tree(elsewhere) == before
