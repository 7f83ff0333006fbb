"""What is deleted is gone from every byte that histfs keeps; and `histfs purge`."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
from contextlib import closing

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.cli.conftest import TIMEOUT
from tests.support.eventually import eventually
from tests.support.mounts import command, environment, mounted

TEXT = "Zwiebelkuchen wandert heimlich"
VOICE, VOICE_ID = "Frau Quastenflosser", "vQ7x1quastenflosser9"
SECRETS = ["zwiebelkuchen", "wandert", "heimlich", "quastenflosser"]
NUMBER = "+4915550987654"


@pytest.fixture
def simulator():
    """An API with 60 items, a dozen conversations, and one of each that is to leave no trace."""
    with Simulator(SimulatorSettings(items=60, days=20, conversations=12)) as running:
        yield running


@pytest.fixture
def item(simulator):
    """The id of an item that has what nothing else has."""
    fields = {"text": TEXT, "voice_name": VOICE, "voice_id": VOICE_ID, "alignments": None}
    (item_id,) = simulator.library.add(fields=fields)
    return item_id


@pytest.fixture
def call(simulator):
    """The id of a conversation of which the same is true."""
    phone = {"type": "twilio", "direction": "inbound", "external_number": NUMBER,
             "call_sid": "CAquastenflosser", "agent_number": "+4930123"}  # fmt: skip
    transcript = [{"role": "user", "message": TEXT, "time_in_call_secs": 0}]
    fields = {"transcript": transcript, "agent_name": VOICE, "agent_id": VOICE_ID,
              "user_id": "quastenflosser-17", "metadata": {"phone_call": phone}}  # fmt: skip
    (call_id,) = simulator.conversations.add(fields=fields)
    return call_id


@pytest.fixture
def do(run, tmp_path, simulator):
    """Run a command in this process."""

    def do(name, *arguments):
        place = ["--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache"]
        trash = ["--trash", tmp_path / "trash"] if name in ("rm", "purge") else []
        log = {"XDG_STATE_HOME": str(tmp_path / "state")}
        zone = {"HISTFS_TIMEZONE": "UTC"}
        return run(name, *place, *trash, *arguments, key=simulator.api_key, **zone, **log)

    return do


@pytest.fixture
def left(tmp_path):
    """Return what is left of secrets, or of a clip, in the files below a directory."""

    def left(*names, clip=b"", key=""):
        found = set()
        for name in names or ("cache", "trash", "state"):
            for path in (tmp_path / name).rglob("*"):
                held = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
                lower = held.lower()
                found |= {(word, path.name) for word in SECRETS if word.encode() in lower}
                if clip and clip in held:
                    found.add(("the clip", path.name))
                if key and path.name.rpartition(":")[2] == key:
                    found.add(("its file", path.name))
        return found

    return left


def path_of(do, item_id, view="by-date/2026/01"):
    for day in do("ls", view).out.split():
        for name in do("ls", f"{view}/{day}").out.split():
            if name.endswith(item_id):
                return f"{view}/{day}/{name}"
    raise AssertionError(f"{item_id} is not listed")


def fill(do, simulator, item, call):
    """Have everything in the cache; return the paths of both, and their clips."""
    assert do("sync", "--audio").status == 0
    assert do("ls", f"search/{SECRETS[0]}").status == 0
    assert do("ls", f"conversations/search/{SECRETS[0]}").out != ""
    paths = path_of(do, item), path_of(do, call, "conversations/by-date/2026/01")
    clips = bytes(simulator.library.clip(item)), bytes(simulator.conversations.clip(call))
    return paths, clips


def index_of_words(tmp_path):
    """Make the words of the history's own index, as a search without the server does."""
    from histfs.catalog.catalog_store import CatalogStore
    from histfs.catalog.text_index import FullTextIndex
    from histfs.core.waiting import Waiter

    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    with closing(CatalogStore(path)) as store:
        index = FullTextIndex(store, lambda _, raw: raw.decode())
        return [listed.key for listed in index.find("zwiebelkuchen wandert", Waiter(30))]


def test_what_is_deleted_without_the_trash_leaves_no_byte(
    do, simulator, item, call, left, tmp_path
):
    paths, clips = fill(do, simulator, item, call)
    assert index_of_words(tmp_path) == [item]
    # The catalog's rows are compressed, the index is not; what is looked for can be found at all.
    words = {word for word, _ in left("cache")}
    assert words >= set(SECRETS)
    assert left("cache", clip=clips[0]) != left("cache") != left("cache", clip=clips[1])
    for path in paths:
        assert do("rm", "--no-trash", path).status == 0
    assert [left(clip=clip, key=key) for clip, key in zip(clips, (item, call), strict=True)] == [
        set(), set()
    ]  # fmt: skip
    assert index_of_words(tmp_path) == []
    assert do("sync").status == 0
    assert left() == set()


def test_with_the_trash_the_only_copy_is_there_until_it_is_emptied(
    do, run, simulator, item, call, left, tmp_path
):
    paths, clips = fill(do, simulator, item, call)
    for path in paths:
        assert do("rm", path).status == 0
    assert [left("cache", "state", clip=clip) for clip in clips] == [set(), set()]
    assert {word for word, _ in left("trash")} == set(SECRETS)
    emptied = run("trash", "empty", "--trash", tmp_path / "trash", key=None).out.splitlines()
    assert [line.split()[:2] for line in emptied[:-1]] == [["removed", item], ["removed", call]]
    assert emptied[-1].startswith("2 items removed")
    assert [left(clip=clip) for clip in clips] == [set(), set()]


def test_what_was_deleted_elsewhere_goes_with_the_next_sync(do, simulator, item, call, left):
    _, clips = fill(do, simulator, item, call)
    simulator.library.remove(item)
    simulator.conversations.remove(call)
    assert do("sync", "--rescan", "0.001").status == 0
    assert [left(clip=clip, key=key) for clip, key in zip(clips, (item, call), strict=True)] == [
        set(), set()
    ]  # fmt: skip


@pytest.mark.fuse
def test_a_mount_that_goes_on_keeps_nothing_of_what_it_deleted_but_reads_on(
    do, simulator, item, left, tmp_path, binding
):
    clip = bytes(simulator.library.clip(item))
    with mounted(simulator, tmp_path, binding, "--no-trash") as mount:
        (place,) = [path for path in mount.items() if path.name.endswith(item)]
        audio = next(place.glob("audio.[!s]*"))
        assert audio.read_bytes() == clip
        assert TEXT in (place / "text.txt").read_text()
        with audio.open("rb") as opened:
            audio.unlink()
            eventually(lambda: left("cache", clip=clip, key=item) == set())
            assert (opened.read(), (place / "text.txt").read_text()) == (clip, f"{TEXT}\n")
            subprocess.run(["rm", "-r", place], check=True)
        assert TEXT not in (tmp_path / "log").read_text()
    assert left("cache", clip=clip, key=item) == set()


def test_an_item_is_purged_by_its_id_here_and_at_the_server(do, simulator, item, call, left):
    paths, clips = fill(do, simulator, item, call)
    dry = do("purge", "--dry-run", item, paths[1])
    assert (dry.status, dry.err) == (0, "")
    assert [dry.out.count(f"{key}: there is: ") for key in (item, call)] == [3, 3]
    assert item in simulator.library
    done = do("purge", "--yes", item, paths[1])
    assert (done.status, done.err) == (0, "")
    for key in (item, call):
        assert done.out.count(f"{key}: removed: ") == 3
    assert done.out.splitlines()[-1] == (
        "2 items purged: 2 from the server, 2 from the catalog, 2 from the audio cache removed."
    )
    assert (item in simulator.library, call in simulator.conversations) == (False, False)
    assert [left(clip=clip, key=key) for clip, key in zip(clips, (item, call), strict=True)] == [
        set(), set()
    ]  # fmt: skip


def test_what_is_kept_for_another_key_or_address_is_purged_too(do, simulator, item, left, tmp_path):
    clip = bytes(simulator.library.clip(item))
    do("sync", "--base-url", simulator.base_url.replace("127.0.0.1", "localhost"), "--audio")
    (aside,) = (path.parent for path in (tmp_path / "cache").glob("*/catalog.sqlite"))
    (aside / "catalog.sqlite.20260101T000000.unusable").write_text(TEXT)
    assert do("purge", "--yes", item).status == 0
    assert left(clip=clip, key=item) == set()


@pytest.mark.parametrize("caller", ["quastenflosser-17", "0049 1555/098 76 54"])
def test_a_callers_conversations_are_purged_also_those_in_the_trash(
    do, simulator, call, caller, left
):
    (other,) = simulator.conversations.add(
        fields={"metadata": {"sms": {"sms_user_phone_number": NUMBER}},
                "user_id": "quastenflosser-17"}
    )  # fmt: skip
    before = len(simulator.conversations)
    assert do("rm", path_of(do, other, "conversations/by-date/2026/01")).status == 0
    done = do("purge", "--caller", caller, "--yes")
    assert (done.status, done.err) == (0, "")
    assert f"{other}: removed: trash" in done.out
    assert f"{call}: removed: server" in done.out
    assert len(simulator.conversations) == before - 2
    assert left() == set()
    again = do("purge", "--caller", caller, "--yes")
    assert (again.status, again.out.splitlines()[-1]) == (0, "There is nothing to purge.")


def test_what_could_not_be_removed_is_said_and_the_rest_is_gone(do, simulator, item, left):
    assert do("sync").status == 0
    simulator.faults.add(Fault("DELETE", "status", status=403))
    done = do("purge", "--yes", item)
    assert (done.status, f"{item} remains in server" in done.err) == (69, True)
    assert item in simulator.library
    simulator.faults.clear()
    # It is there, so it is listed, and purged the next time.
    assert do("purge", "--yes", path_of(do, item)).status == 0
    assert left() == set()


def test_locally_alone_the_server_keeps_it_and_it_is_listed_again(do, simulator, item, left):
    assert do("sync").status == 0
    done = do("purge", "--local", "--yes", item)
    assert (done.status, left(), item in simulator.library) == (0, set(), True)
    assert path_of(do, item)


def test_nothing_is_purged_unasked(do, simulator, item, tmp_path):
    assert "--yes" in do("purge", item).err
    assert do("purge", "nothing-like-it").status == 1
    assert do("purge", "by-date/2026").status == 1
    assert do("purge").status == 2
    assert do("purge", "--read-only", "--yes", item).status == 1
    line = command("purge", item, "--base-url", simulator.base_url, "--cache-dir",
                   tmp_path / "cache", "--trash", tmp_path / "trash")  # fmt: skip
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        line, env=environment("mfusepy", simulator.api_key), stdin=theirs, stdout=subprocess.PIPE
    ) as process:
        os.write(ours, b"n\n")
        process.wait(TIMEOUT)
    assert process.returncode != 0
    assert item in simulator.library


def test_a_catalog_of_before_whose_dictionary_holds_texts_is_packed_anew(
    do, simulator, item, left, tmp_path
):
    assert do("sync").status == 0
    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    raw = simulator.library.item_json(item)
    _with_dictionary_of_before(path, raw)
    assert "zwiebelkuchen" in {word for word, _ in left("cache")}
    others = [name for name in simulator.library.ids() if name != item]
    before = do("cat", f"{path_of(do, others[5])}/meta.json").out
    assert do("rm", "--no-trash", path_of(do, item)).status == 0
    assert left() == set()
    assert do("cat", f"{path_of(do, others[5])}/meta.json").out == before != ""


def _with_dictionary_of_before(path, dictionary):
    from histfs.catalog.compression import Compressor

    with closing(sqlite3.connect(path)) as db, db:
        (old,) = db.execute("SELECT value FROM notes WHERE name = 'dictionary'").fetchone()
        rows = db.execute("SELECT n, raw FROM raws").fetchall()
        packed = Compressor(dictionary).pack(Compressor(old).unpack(raw) for _, raw in rows)
        db.executemany(
            "UPDATE raws SET raw = ? WHERE n = ?",
            zip(packed, [n for n, _ in rows], strict=True),
        )
        db.execute("UPDATE notes SET value = ? WHERE name = 'dictionary'", (dictionary,))
        db.execute("DELETE FROM notes WHERE name = 'structure'")
