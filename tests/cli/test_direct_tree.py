"""`histfs ls`, `cat` and `rm`: the tree without a mount, for as few requests as a mount."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from histfs.cli.output import Output
from histfs.core.name_forms import is_audio_name
from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.trash import Trash
from tests.cli.conftest import KEY, TIMEOUT
from tests.support.eventually import eventually
from tests.support.mounts import command, mounted
from tests.support.terminal import read_to_end

LIST = "GET /v1/history"
AUDIO = "GET /v1/history/{id}/audio"
DELETE = "DELETE /v1/history/{id}"
CALLS = "GET /v1/convai/conversations"
CALL = "GET /v1/convai/conversations/{id}"

#: A folder of a voice for players.
ADAM = "listen/by-voice/Adam"
ESCAPE = "\x1b]0;owned\x07"

#: Runs histfs where no FUSE library can be imported.
WITHOUT_FUSE = """
import sys

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name in ("fuse", "mfusepy"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Gate())
from histfs.cli import main
main()
"""


@pytest.fixture
def simulator():
    """An API with 60 items and a dozen conversations."""
    with Simulator(SimulatorSettings(items=60, days=20, conversations=12)) as running:
        yield running


@pytest.fixture
def given(tmp_path):
    """The options that keep a command in the test's own place."""

    def given(name, server):
        place = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
        return [*place, *(["--trash", tmp_path / "trash"] if name == "rm" else [])]

    return given


@pytest.fixture
def do(run, given, simulator):
    """Run a command in this process."""

    def do(name, *arguments, server=simulator, key=None, zone="UTC"):
        env = {"HISTFS_TIMEZONE": zone} if zone else {}
        options = given(name, server)
        return run(name, *options, *arguments, key=key or server.api_key, **env)

    return do


@pytest.fixture
def start(given, simulator):
    """Run a command in a process of its own."""

    def start(name, *arguments, program=(), **options):
        line = [*(program or command()), name, *given(name, simulator), *arguments]
        env = {**os.environ, "ELEVENLABS_API_KEY": simulator.api_key, "HISTFS_TIMEZONE": "UTC"}
        return subprocess.Popen(
            list(map(str, line)), env=env,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               **options},
        )  # fmt: skip

    return start


def ended(process):
    """Return the output of a process, and its exit status."""
    with process:
        out, err = process.communicate(timeout=TIMEOUT)
    assert b"Traceback" not in err + out[:99], err
    return process.returncode, out, err.decode()


def lines(done):
    assert (done.status, done.err) == (0, ""), done
    return done.out.splitlines()


def rows(done):
    return [json.loads(line) for line in lines(done)]


@pytest.fixture
def day(do):
    """The path of the newest day."""
    month = "by-date/2026/01"
    return f"{month}/{lines(do('ls', month))[-1]}"


@pytest.fixture
def item(do, day, simulator):
    """The path of the newest item; from here on requests are counted."""
    path = f"{day}/{lines(do('ls', day))[-1]}"
    simulator.counts.reset()
    return path


@pytest.fixture
def link(do, simulator):
    """The path of a link."""
    path = f"by-voice/Rachel/{lines(do('ls', 'by-voice/Rachel'))[0]}"
    simulator.counts.reset()
    return path


def id_of(path):
    return path.rpartition("/")[2].split("_", 2)[2]


# Listing


@pytest.mark.parametrize("root", [[], ["/"], [""], ["."], ["by-date/.."]])
def test_the_root_is_what_a_mount_has_in_its_root(do, root):
    assert lines(do("ls", *root)) == ["by-date", "by-voice", "by-source", "conversations"]


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_what_is_listed_is_what_a_mount_shows(do, simulator, tmp_path, item, link, binding):
    kinds = {"directory": stat.S_IFDIR, "file": stat.S_IFREG, "link": stat.S_IFLNK}
    calls = "conversations/by-agent"
    paths = ["", "by-date", "by-date/2026/01", item, link.rpartition("/")[0], calls]
    listed = {path: rows(do("ls", "--json", path)) for path in paths}
    with mounted(simulator, tmp_path, binding) as mount:
        for path in paths:
            assert sorted(row["name"] for row in listed[path]) == sorted(
                os.listdir(mount.path / path)
            )
            for row in listed[path]:
                there = mount.path / row["path"]
                status = there.lstat()
                assert there.name == row["name"]
                assert (kinds[row["type"]], row["size"], row["mtime"]) == (
                    stat.S_IFMT(status.st_mode), status.st_size, int(status.st_mtime),
                )  # fmt: skip
                assert row.get("target") == (os.readlink(there) if row["type"] == "link" else None)


def test_a_day_of_a_large_account_costs_five_requests_and_the_second_time_none(do):
    with Simulator(SimulatorSettings(items=20_000, days=400, alignments=False)) as large:
        items = lines(do("ls", "by-date/2026/01/02", server=large))
        assert len(items) > 10
        # The day's own, and once those for items without a possible date: no scan.
        assert large.counts.total <= 5
        large.counts.reset()
        assert lines(do("ls", "--long", "by-date/2026/01/02", server=large))
        assert large.counts.total == 0
        assert lines(do("ls", "--listing-ttl", "0", "by-date/2026/01/02", server=large)) == items
        assert large.counts.total == 1


def test_who_began_with_an_old_day_does_not_read_all_that_came_after_it(do):
    with Simulator(SimulatorSettings(items=20_000, days=400, alignments=False)) as large:
        assert lines(do("ls", "by-date/2025/02/03", server=large))
        assert lines(do("ls", "by-date", server=large)) == ["2024", "2025", "2026"]
        # Some pages are read without a filter: one by time may leave out items without a date.
        assert large.counts.total < 10


def test_an_items_directory_its_files_and_links_tell_whose_they_are(do, simulator, item, link):
    for path in (item, link):
        fields = simulator.library.item(id_of(path))
        whose = {
            "id": fields["history_item_id"],
            "key": fields["history_item_id"],
            "date": fields["date_unix"],
            "voice": fields["voice_id"],
            "voice_name": fields["voice_name"],
            "source": fields["source"],
            "model": fields["model_id"],
        }
        above, _, name = path.rpartition("/")
        (row,) = (row for row in rows(do("ls", "--json", above)) if row["name"] == name)
        files = rows(do("ls", "--json", path))
        assert [file["name"] for file in files][:2] == ["meta.json", "text.txt"]
        for found in (row, *files):
            assert found.items() >= whose.items()
        assert row["path"] == path
    assert simulator.counts.total == 0


def test_an_item_without_a_voice_has_null_for_it(do, simulator):
    simulator.library.add(ids=["mute"], fields={"voice_id": None, "voice_name": None})
    (row,) = (row for row in rows(do("ls", "--json", "by-date/2026/01/31")) if row["id"] == "mute")
    assert row["voice"] is None
    assert "voice_name" not in row


TALK = {
    "text": None,
    "voice_id": "",
    "voice_name": None,
    "dialogue": [
        {"text": "Hello.", "voice_id": "k1", "voice_name": "Karin"},
        {"text": "Hi.", "voice_id": "a1", "voice_name": None},
    ],
}


def test_an_item_of_several_voices_has_the_first_as_its_voice_and_a_list_of_all(do, simulator):
    simulator.library.add(ids=["talk"], fields=TALK)
    simulator.library.add(ids=["solo"], fields={**TALK, "dialogue": TALK["dialogue"][:1]})
    found = {row["id"]: row for row in rows(do("ls", "--json", "by-voice/Karin", "by-voice/a1"))}
    assert (found["talk"]["voice"], found["talk"]["voice_name"]) == ("k1", "Karin")
    assert found["talk"]["voices"] == ["k1", "a1"]
    assert found["talk"]["voice_names"] == ["Karin", None]
    assert (found["solo"]["voice"], found["solo"]["voice_name"]) == ("k1", "Karin")
    assert not {"voices", "sources", "models"} & found["solo"].keys()


def test_a_catalog_in_which_dialogues_had_no_voice_is_put_right_without_the_server(
    do, simulator, tmp_path
):
    simulator.library.add(ids=["talk"], fields=TALK)
    simulator.library.add(ids=["mute"], fields={**TALK, "dialogue": None})
    (path,) = (p for p in lines(do("ls", "by-voice/Karin")) if p.endswith("_talk"))
    (catalog,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    with closing(sqlite3.connect(catalog)) as db, db:
        # As it was written before dialogues had voices.
        (nothing,) = db.execute("SELECT label FROM labels WHERE kind = 'voice' AND value = ''")
        voices = "SELECT label FROM labels WHERE value IN ('k1', 'a1')"
        db.execute(f"DELETE FROM placed WHERE label IN ({voices})")
        db.execute(f"DELETE FROM labels WHERE label IN ({voices})")
        db.execute("INSERT INTO placed SELECT ?, date, key FROM items WHERE key = 'talk'", nothing)
        labels = [
            *nothing,
            *(n for (n,) in db.execute("SELECT label FROM placed WHERE key = 'talk'")),
        ]
        db.execute(
            "UPDATE items SET slug = 'karin-hello-a1-hi', labels = ? WHERE key = 'talk'",
            (json.dumps(list(dict.fromkeys(labels))),),
        )
        db.execute("DELETE FROM notes WHERE name = 'reading'")
    simulator.stop()
    assert lines(do("ls", "by-voice/Karin")) == lines(do("ls", "by-voice/a1")) == [path]
    assert not any("talk" in name for name in lines(do("ls", "by-voice/(no voice)")))


def test_conversations_have_their_ids_agents_outcomes_and_call_ids_once_known(do, simulator):
    def listed():
        return {row["id"]: row for row in rows(do("ls", "--json", *days))}

    days = [
        f"conversations/by-date/2026/01/{day}"
        for day in lines(do("ls", "conversations/by-date/2026/01"))
    ]
    found = listed()
    assert simulator.counts[CALL] == 0
    assert len(found) > 5
    for conversation, row in found.items():
        summary = simulator.conversations.summary(conversation)
        assert (row["agent"], row.get("agent_name"), row["outcome"], row["date"]) == (
            summary["agent_id"], summary["agent_name"], summary["call_successful"],
            summary["start_time_unix_secs"],
        )  # fmt: skip
        assert "call" not in row
    assert do("cat", *(f"{row['path']}/meta.json" for row in found.values())).status == 0
    fetched = simulator.counts[CALL]
    calls = {conversation: row.get("call") for conversation, row in listed().items()}
    phones = {i: simulator.conversations.detail(i)["metadata"]["phone_call"] for i in found}
    assert calls == {i: phone and phone["call_sid"] for i, phone in phones.items()}
    assert any(calls.values())
    assert simulator.counts[CALL] == fetched
    links = rows(do("ls", "--json", "conversations/by-call"))
    assert {row["id"]: row["call"] for row in links} == {i: c for i, c in calls.items() if c}
    first = rows(do("ls", "--json", links[0]["path"]))[0]
    assert (first["id"], first["call"]) == (links[0]["id"], links[0]["call"])


def test_the_long_form_has_kind_size_time_and_target(do, simulator, item, link):
    kind, size, day, time, name = lines(do("ls", "-l", item))[1].split()
    text = lines(do("cat", f"{item}/text.txt"))[0]
    assert (kind, int(size), name) == ("-", len(text.encode()) + 1, "text.txt")
    assert f"{day}T{time.replace(':', '-')}" == item.rpartition("/")[2][:19]
    line = lines(do("ls", "--long", link.rpartition("/")[0]))[0]
    assert line.startswith("l ")
    assert line.endswith(f"_{id_of(link)}")
    assert " -> ../../by-date/" in line


def test_of_several_directories_each_name_has_its_path(do, item):
    found = lines(do("ls", "conversations", item, f"{item}/text.txt"))
    assert found[0] == "conversations/by-date"
    assert f"{item}/meta.json" in found
    assert found[-1] == f"{item}/text.txt"


def test_a_path_that_fails_keeps_no_other_from_its_turn_and_the_worst_status_counts(
    do, simulator, item
):
    simulator.faults.add(Fault(CALLS, "status", status=400, body={"detail": "no"}))
    done = do("ls", "by-date/1999", "conversations/by-agent", f"{item}/text.txt")
    assert done.status == 69
    assert done.out == f"{item}/text.txt\n"
    first, second = done.err.splitlines()
    assert first == "histfs: by-date/1999: there is no such path"
    assert second.startswith("histfs: conversations/by-agent: ")


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("nothing", "there is no such path"),
        ("text.txt/below", "there is nothing below a file"),
        ("x" * 300, "longer than"),
        ("../../../../../../nowhere", "there is no such path"),
    ],
)
def test_a_path_that_is_not_there_is_told_by_its_name(do, item, below, message):
    done = do("ls", f"{item}/{below}")
    assert done.status == 1
    assert message in done.line


def test_a_key_that_is_refused_and_a_server_that_is_away_are_told_as_by_a_mount(do, simulator):
    refused = do("ls", key=KEY)
    assert refused.status == 77
    assert "Invalid API key" in refused.line
    assert do("ls", "by-date", key=KEY).status == 77
    simulator.faults.add(Fault("GET", "reset"))
    gone = do("ls", "by-date")
    assert gone.status == 69
    assert "can't be reached" in gone.line


def test_where_conversations_may_not_be_listed_their_folder_says_so_and_the_rest_goes_on(do):
    may = frozenset({"speech_history_read"})
    with Simulator(SimulatorSettings(items=3, conversations=3, permissions=may)) as server:
        assert lines(do("ls", server=server))[-1] == "conversations"
        refused = do("ls", "conversations", server=server)
        assert refused.status == 77
        assert "convai_read" in refused.line


def test_a_server_without_conversations_has_no_folder_for_them(do, simulator):
    simulator.faults.add(Fault(CALLS, "status", status=404))
    assert lines(do("ls")) == ["by-date", "by-voice", "by-source"]
    assert do("ls", "conversations").status == 1


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [("by-v[ao]ice", "by-voice"), ("by-v*/Rache?", "by-voice/Rachel")],
)
def test_patterns_are_expanded_as_a_shell_does(do, pattern, matching):
    assert lines(do("ls", pattern)) == lines(do("ls", matching))


def test_a_pattern_with_several_matches_shows_paths_and_one_without_any_fails(do, item):
    found = lines(do("ls", "by-voice/[AR]*"))
    assert {path.rpartition("/")[0] for path in found} >= {"by-voice/Rachel", "by-voice/Adam"}
    day = item.rpartition("/")[0]
    texts = do("cat", f"{day}/*/text.txt")
    assert (texts.status, texts.err) == (0, "")
    assert len(texts.out.splitlines()) >= len(lines(do("ls", day)))
    done = do("ls", "by-voice/X*")
    assert (done.status, "there is no such path" in done.line) == (1, True)


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_path_in_a_mount_is_understood(do, simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        assert lines(do("ls", mount.path)) == lines(do("ls"))
        assert lines(do("ls", mount.path / "by-voice" / "Rachel")) == lines(
            do("ls", "by-voice/Rachel")
        )
        text = next(mount.path.glob("by-voice/Rachel/*/text.txt"))
        assert do("cat", text).out == text.read_text()


def test_a_long_wait_is_shown_on_a_terminal(start):
    with Simulator(SimulatorSettings(items=8_000, days=400, alignments=False)) as large:
        large.latency = 0.5
        status, shown, _ = on_terminal(
            start, "ls", "by-voice", "--base-url", large.base_url, both=True
        )
    assert status == 0
    assert re.search(r"Waiting for the server: [\d,]+ items are read so far", shown)
    assert "Rachel" in shown.rpartition("\x1b[K")[2]


def test_what_needs_the_whole_history_waits_for_it_and_then_says_to_come_again(do):
    # Each page comes well within the timeout, all of them do not.
    with Simulator(SimulatorSettings(items=20_000, days=400, alignments=False)) as large:
        large.latency = 0.5
        done = do("ls", "by-voice", "--timeout", "3", server=large)
    assert done.status == 75
    assert re.search(r"by-voice: .* whole history, of which [1-9][\d,]+ items", done.line)
    assert "run histfs sync" in done.line


def test_known_directories_are_listed_while_the_server_is_away(do, simulator, day):
    known = lines(do("ls", day))
    simulator.faults.add(Fault("GET", "reset"))
    assert lines(do("ls", "--listing-ttl", "0", day)) == known


def test_the_configuration_file_tells_of_the_tree_as_it_does_for_a_mount(do, tmp_path, simulator):
    late = 1_769_900_000  # 2026-01-31T22:53:20 UTC
    simulator.library.add(ids=["late"], time=late, fields={"text": "late"})
    config = tmp_path / "config.toml"
    config.write_text('timezone = "Asia/Tokyo"\noptions = ["views=by-date+by-model,ro"]\n')
    options, place = ["--config", config], {"zone": None}
    assert lines(do("ls", *options, **place)) == ["by-date", "by-model", "conversations"]
    path = "by-date/2026/02/01/2026-02-01T07-53-20_late_late"
    assert lines(do("ls", *options, "by-date/2026/02/01", **place))[1:] == [path.rpartition("/")[2]]
    refused = do("rm", *options, path, **place)
    assert refused.status == 1
    assert "read-only" in refused.line
    assert simulator.counts[DELETE] == 0


def test_a_terminal_gets_escapes_for_what_it_would_obey_and_a_pipe_the_name(capsys, monkeypatch):
    Output().line(ESCAPE)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Output().line(ESCAPE)
    assert capsys.readouterr().out == f"{ESCAPE}\n\\x1b]0;owned\\x07\n"


# Reading


def test_a_text_is_printed_also_through_a_link(do, simulator, item, link):
    for path in (item, link):
        text = simulator.library.item(id_of(path))["text"]
        assert lines(do("cat", f"{path}/text.txt")) == text.splitlines()
    assert simulator.counts.total == 0


@pytest.mark.parametrize("chunked", [True, False], ids=["unknown length", "known length"])
def test_audio_is_fetched_once_and_kept(start, simulator, item, do, chunked):
    simulator.chunked = chunked
    name = next(name for name in lines(do("ls", item)) if is_audio_name(name))
    whole = bytes(simulator.library.clip(id_of(item)))
    for _ in range(2):
        assert ended(start("cat", f"{item}/{name}")) == (0, whole, "")
    assert simulator.counts[AUDIO] == 1


@pytest.mark.parametrize("chunked", [True, False], ids=["unknown length", "known length"])
def test_audio_is_printed_from_its_first_byte_on(start, simulator, item, do, chunked):
    name, whole = lines(do("ls", item))[-1], bytes(simulator.library.clip(id_of(item)))
    simulator.chunked, simulator.bandwidth = chunked, len(whole) / 3
    with start("cat", f"{item}/{name}") as process:
        content = process.stdout.read(1)
        began = time.monotonic()
        content += process.stdout.read()
        assert time.monotonic() - began > 2
    assert (process.returncode, content) == (0, whole)


def test_audio_that_breaks_off_is_an_error(start, simulator, item, do):
    simulator.faults.add(Fault("/audio", "cut", at_byte=5000))
    name = lines(do("ls", item))[-1]
    status, out, err = ended(start("cat", f"{item}/{name}"))
    assert (status, len(err.splitlines())) == (69, 1)
    assert bytes(simulator.library.clip(id_of(item))).startswith(out)


def test_files_of_several_items_are_one_after_the_other_and_a_bad_path_is_left_out(do, day):
    paths = [f"{day}/{name}/text.txt" for name in lines(do("ls", day))]
    assert len(paths) > 1
    one_by_one = [do("cat", path).out for path in paths]
    done = do("cat", paths[0], day, *paths[1:])
    assert done.out == "".join(one_by_one)
    assert done.status == 1
    assert "histfs ls shows what it holds" in done.err


def test_a_reader_who_has_enough_ends_it_quietly(start, simulator, item, do):
    name = lines(do("ls", item))[-1]
    reading, writing = os.pipe()
    process = start("cat", *([f"{item}/{name}"] * 50), stdout=writing)
    os.close(writing)
    assert os.read(reading, 1)
    os.close(reading)
    _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize("name", ["ls", "cat"])
def test_an_output_that_can_not_be_written_is_an_error(start, item, name):
    with Path("/dev/full").open("wb") as full:
        process = start(name, f"{item}/text.txt", stdout=full)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert err == b"histfs: the output can't be written: No space left on device\n"


def on_terminal(start, *arguments, both=False):
    """Return what a command shows on a terminal, perhaps its errors, too, and how it ends."""
    ours, theirs = pty.openpty()
    streams = {"stdout": theirs, **({"stderr": theirs} if both else {})}
    process = start(*arguments, **streams)
    os.close(theirs)
    shown = read_to_end(ours)
    _, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, shown.decode().replace("\r\n", "\n"), (err or b"").decode()


def test_a_terminal_is_commanded_by_no_text_and_gets_no_audio(start, simulator, do):
    simulator.library.add(ids=["hostile"], fields={"text": f"tab\tand {ESCAPE} and é\nend"})
    day = "by-date/2026/01/31"
    path = f"{day}/{lines(do('ls', day))[-1]}"
    assert do("cat", f"{path}/text.txt").out == f"tab\tand {ESCAPE} and é\nend\n"
    status, shown, err = on_terminal(start, "cat", f"{path}/text.txt")
    assert (status, err) == (0, "")
    assert shown.expandtabs() == "tab\tand \\x1b]0;owned\\x07 and é\nend\n".expandtabs()
    status, shown, err = on_terminal(start, "cat", f"{path}/audio.mp3")
    assert (status, shown) == (1, "")
    assert "it is audio: redirect it (> clip.mp3) or pipe it into a player" in err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_signal_ends_it_while_it_waits(start, simulator, item, do, number, status):
    name = lines(do("ls", item))[-1]
    simulator.faults.add(Fault("/audio", "hang"))
    process = start("cat", f"{item}/{name}")
    eventually(lambda: simulator.counts[AUDIO])
    process.send_signal(number)
    assert ended(process) == (status, b"", "histfs: interrupted\n" * (number == signal.SIGINT))


# Deleting


@pytest.mark.parametrize("file", ["", "/audio.mp3"], ids=["its directory", "its audio"])
def test_an_item_is_copied_and_deleted_with_one_request(do, simulator, tmp_path, link, file):
    path = next(
        row["path"]
        for row in rows(do("ls", "--json", "by-date/2026/01/31", "by-date/2026/01/30"))
        if any(f["name"] == "audio.mp3" for f in rows(do("ls", "--json", row["path"])))
    )
    simulator.counts.reset()
    done = do("rm", f"{path}{file}", "-v")
    assert lines(done) == [f"deleted {path}{file}"]
    assert simulator.counts[DELETE] == 1
    (stored,) = Trash(tmp_path / "trash").items()
    assert stored.entry.id == id_of(path)
    assert stored.entry.deleted is not None
    assert set(stored.entry.files) == {"meta.json", "text.txt", "audio.mp3"}
    again = do("rm", path)
    assert again.status == 1
    assert "there is no such path" in again.line
    assert simulator.counts[DELETE] == 1


def test_a_conversation_without_audio_is_deleted_too(do, simulator, tmp_path):
    silent = next(
        i for i in simulator.conversations.ids()
        if not simulator.conversations.detail(i)["has_audio"]
        and simulator.conversations.detail(i)["status"] == "done"
    )  # fmt: skip
    agents = lines(do("ls", "conversations/by-agent"))
    found = rows(do("ls", "--json", *(f"conversations/by-agent/{agent}" for agent in agents)))
    (link,) = (row for row in found if row["id"] == silent)
    home = Path(os.path.normpath(Path(link["path"]).parent / link["target"]))
    assert lines(do("rm", home)) == []
    assert silent not in simulator.conversations
    (stored,) = Trash(tmp_path / "trash").items()
    assert set(stored.entry.files) == {"summary.json", "meta.json", "text.txt"}


def test_what_is_no_item_is_refused_with_what_to_do_and_nothing_is_sent(do, simulator, item, link):
    done = do("rm", "/", "by-date", "by-voice/Rachel", link, f"{item}/text.txt", "by-date/1999")
    assert done.status == 1
    root, view, voice, refused, text, missing = done.err.splitlines()
    for line in (root, view, voice):
        assert "give each of the items in it" in line
    assert "histfs rm by-date/" in refused
    assert refused.endswith(f"_{id_of(link)}")
    assert text.endswith(f"histfs rm {shlex.quote(item)}")
    assert missing.endswith("there is no such path")
    assert simulator.counts.total <= 1
    assert simulator.counts[DELETE] == 0


def test_below_listen_the_clips_are_fetched_once_each_and_no_other_file(do, simulator):
    clips = sum(not name.endswith((".srt", ".m3u8")) for name in lines(do("ls", f"{ADAM}")))
    assert clips > 1
    done = do("fetch", ADAM)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{clips} clips in the cache")
    page = do("page", ADAM)
    assert (page.status, page.err) == (0, "")
    assert page.out.count(".srt") == page.out.count(".m3u8") == 0


def test_a_clip_below_listen_is_read_and_kept_as_at_home_and_not_deleted(do, simulator):
    agent = lines(do("ls", "listen/conversations"))[0]
    clips = lines(do("ls", f"listen/conversations/{agent}"))
    clip = f"listen/conversations/{agent}/{clips[0]}"
    simulator.counts.reset()
    for command_name in ("fetch", "pin"):
        assert lines(do(command_name, clip))[0].startswith("1 clip in the cache")
    refused = do("rm", clip)
    assert refused.status == 1
    assert refused.err.endswith("nothing in listen is deleted: give the item's directory\n")
    assert simulator.counts[f"{CALL}/audio"] == simulator.counts.total == 1


def test_who_wants_no_trash_gets_none(do, simulator, item, tmp_path):
    assert lines(do("rm", "--no-trash", item)) == []
    assert id_of(item) not in simulator.library
    assert not (tmp_path / "trash").exists()
    assert simulator.counts[AUDIO] == 0


def test_a_trash_that_can_not_be_used_keeps_everything(do, simulator, item, tmp_path):
    (tmp_path / "file").touch()
    done = do("rm", "--trash", tmp_path / "file" / "trash", item)
    assert done.status == 78
    assert "trash" in done.line
    assert simulator.counts[DELETE] == 0


def test_a_delete_that_is_refused_keeps_the_item_and_the_others_go_on(do, simulator, day):
    kept, gone = (f"{day}/{name}" for name in lines(do("ls", day))[:2])
    simulator.faults.add(
        Fault(f"DELETE .*{id_of(kept)}", "status", status=403, body={"detail": "may not"})
    )
    done = do("rm", kept, gone)
    assert done.status == 77
    (line,) = done.err.splitlines()
    assert line.startswith(f"histfs: {kept}: ")
    assert lines(do("ls", day)).count(kept.rpartition("/")[2]) == 1
    assert id_of(gone) not in simulator.library


def test_audio_that_can_not_be_copied_keeps_the_item_and_the_status_says_why(do, simulator, item):
    simulator.faults.add(Fault("/audio", "status", status=429))
    done = do("rm", item, "--timeout", "2")
    assert done.status == 75
    assert "--no-trash deletes without one" in done.line
    assert id_of(item) in simulator.library


# Without FUSE


@pytest.mark.parametrize("name", ["ls", "cat", "rm"])
def test_no_fuse_library_is_loaded(start, simulator, item, name):
    path = f"{item}/text.txt" if name == "cat" else item
    program = (sys.executable, "-c", WITHOUT_FUSE)
    assert ended(start(name, path, program=program))[::2] == (0, "")
