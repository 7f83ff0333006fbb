"""Conversations in a mount: the second source, beside the history."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import mounted

pytestmark = pytest.mark.fuse

LIST = "GET /v1/convai/conversations"
DETAIL = "GET /v1/convai/conversations/{id}"
AUDIO = "GET /v1/convai/conversations/{id}/audio"
DELETE = "DELETE /v1/convai/conversations/{id}"
HISTORY = "GET /v1/history"


def id_of(item):
    return re.search(r"conv_\w+$", item.name)[0]


def calls_in(mount):
    return sorted((mount.path / "conversations/by-date").glob("*/*/*/*"))


def the_call(mount, conversation_id):
    (found,) = (call for call in calls_in(mount) if id_of(call) == conversation_id)
    return found


def code_of(call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno]


@pytest.fixture
def server():
    with Simulator(SimulatorSettings(items=5, conversations=25, audio_after=1)) as simulator:
        yield simulator


def test_looking_asks_for_lists_alone(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        done = subprocess.run(
            ["ls", "-lR", mount.path / "conversations"], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert {id_of(call) for call in calls_in(mount)} == set(server.conversations.ids())
    assert server.counts[LIST] == 1
    assert server.counts.total == 1 + server.counts[HISTORY]


def test_every_call_has_its_summary_detail_transcript_and_audio(server, tmp_path, binding):
    conversations = server.conversations
    with mounted(server, tmp_path, binding) as mount:
        for call in calls_in(mount):
            key = id_of(call)
            summary = json.loads((call / "summary.json").read_text())
            assert summary["conversation_id"] == key
            # One that goes on may end between the two.
            before = conversations.detail(key)
            detail = json.loads((call / "meta.json").read_text())
            assert detail in (before, conversations.detail(key))
            text = (call / "text.txt").read_text()
            for turn in detail["transcript"]:
                said = (turn["message"] or "").strip()
                if said and said.isprintable():
                    assert f"] {turn['role']}: {said}" in text
            clip = conversations.clip(key)
            if detail["status"] in ("done", "failed") and clip is None:
                assert "audio.mp3" not in os.listdir(call)
            elif detail["status"] == "done":
                assert (call / "audio.mp3").read_bytes() == bytes(clip)
            for file in call.iterdir():
                if file.name not in ("audio.mp3", "files"):
                    assert file.stat().st_size == len(file.read_bytes())
    # One each; where there is no audio, a prefetch asks for the reason, too.
    ids = list(conversations.ids())
    silent = [key for key in ids if conversations.clip(key) is None]
    assert len(ids) <= server.counts[DETAIL] <= len(ids) + len(silent) + 3


def test_phone_calls_are_found_by_their_ids_once_these_are_known(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        by_call = mount.path / "conversations/by-call"
        assert os.listdir(by_call) == []
        expected = {}
        for call in calls_in(mount):
            phone = json.loads((call / "meta.json").read_text())["metadata"]["phone_call"]
            for name in ("call_sid", "call_id"):
                if phone and phone.get(name):
                    expected[phone[name].replace("/", "-")] = call
        assert expected
        assert {name: (by_call / name).resolve() for name in os.listdir(by_call)} == expected
        name = next(iter(expected))
        assert (by_call / name / "text.txt").read_bytes() == (
            expected[name] / "text.txt"
        ).read_bytes()
        assert code_of(os.listdir, by_call / "CA0") == "ENOENT"


def test_agents_and_outcomes_have_their_folders(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        root = mount.path / "conversations"
        assert sorted(os.listdir(root)) == ["by-agent", "by-call", "by-date", "by-outcome"]
        assert set(os.listdir(root / "by-outcome")) <= {"success", "failure", "unknown"}
        for view in ("by-agent", "by-outcome"):
            found = {link.resolve() for link in root.glob(f"{view}/*/*")}
            assert found == set(calls_in(mount))


def test_a_call_without_audio_is_deleted_with_its_directory(server, tmp_path, binding):
    key = next(i for i in server.conversations.ids() if server.conversations.clip(i) is None)
    with mounted(server, tmp_path, binding) as mount:
        call = the_call(mount, key)
        assert code_of((call / "audio.mp3").read_bytes) == "ENOENT"
        eventually(lambda: "audio.mp3" not in os.listdir(call))
        (call / "text.txt").unlink()
        assert server.counts[DELETE] == 0
        subprocess.run(["rm", "-r", call], check=True)
        assert not call.exists()
        assert key not in server.conversations.ids()
        assert server.counts[DELETE] == 1
        (copy,) = (tmp_path / "trash").glob(f"*{key}")
        assert {"meta.json", "summary.json", "text.txt"} <= set(os.listdir(copy))


def test_a_call_goes_on_until_it_is_done(server, tmp_path, binding):
    (key,) = server.conversations.add(status="in-progress")
    with mounted(server, tmp_path, binding, "--listing-ttl", "0") as mount:
        call = the_call(mount, key)
        assert sorted(os.listdir(call)) == ["meta.json", "summary.json", "text.txt"]
        begun = (call / "text.txt").read_text()
        server.conversations.set_status(key, "processing")
        eventually(lambda: "audio.mp3" in os.listdir(the_call(mount, key)))
        call = the_call(mount, key)
        assert (call / "audio.mp3").read_bytes() == bytes(server.conversations.clip(key))
        eventually(lambda: '"done"' in (the_call(mount, key) / "summary.json").read_text())
        # It has got its title meanwhile, and with it another name.
        over = (the_call(mount, key) / "text.txt").read_text()
        assert over.startswith(begun.rstrip())
        assert len(over) > len(begun)


def test_audio_that_is_still_being_made_is_not_there_yet(tmp_path, binding):
    with Simulator(SimulatorSettings(items=1, conversations=0, audio_after=99)) as server:
        (key,) = server.conversations.add(status="processing")
        with mounted(server, tmp_path, binding, "--timeout", "3") as mount:
            assert code_of((the_call(mount, key) / "audio.mp3").read_bytes) == "EAGAIN"
        assert server.counts[AUDIO] > 1


def test_a_key_without_the_permission_closes_that_folder_alone(server, tmp_path, binding):
    server.permissions = frozenset({"speech_history_read", "speech_history_write"})
    with mounted(server, tmp_path, binding) as mount:
        assert "conversations" in os.listdir(mount.path)
        assert code_of(os.listdir, mount.path / "conversations") == "EACCES"
        assert code_of(os.listdir, mount.path / "conversations/by-date") == "EACCES"
        assert all(audio.read_bytes() for audio in mount.audio())


def test_a_server_without_conversations_has_no_folder_for_them(server, tmp_path, binding):
    server.faults.add(Fault(LIST, "status", status=404))
    with mounted(server, tmp_path, binding) as mount:
        assert sorted(os.listdir(mount.path)) == ["by-date", "by-source", "by-voice"]
        assert code_of(os.listdir, mount.path / "conversations") == "ENOENT"


def test_conversations_that_were_there_do_not_vanish_with_the_server(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        before = calls_in(mount)
    server.faults.add(Fault(LIST, "status", status=404))
    with mounted(server, tmp_path, binding, "--listing-ttl", "0") as mount:
        assert calls_in(mount) == before


def test_words_are_searched_where_they_are_known(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        search = mount.path / "conversations/search"
        assert os.listdir(search) == []
        for call in calls_in(mount):
            (call / "text.txt").read_bytes()
        expected = {
            call for call in calls_in(mount) if "weather" in (call / "text.txt").read_text()
        }
        assert expected
        found = search / "weather"
        assert {(found / name).resolve() for name in os.listdir(found)} == expected
        assert os.listdir(search / "xylophone") == []
