"""What was sent in conversations, in a mount: ``files/`` in the conversation's directory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import command, environment, mounted

pytestmark = pytest.mark.fuse

LIST = "GET /v1/convai/conversations"
DETAIL = "GET /v1/convai/conversations/{id}"
FILE = "GET /v1/convai/conversations/{id}/files/{file_id}"
DELETE = "DELETE /v1/convai/conversations/{id}"
LONG = "é" * 600 + ".txt"
#: What a conversation's directory holds.
WHOLE = {"summary.json", "meta.json", "text.txt", "audio.mp3", "files"}


def sent(*files, url="https://elsewhere.example.invalid/secret"):
    """Return the fields of a conversation in which files are sent in one turn."""
    turn = {
        "role": "user",
        "message": None,
        "time_in_call_secs": 12,
        "file_inputs": [
            {
                "file_id": file_id,
                "original_filename": name,
                "mime_type": kind,
                "file_url": url,
            }
            for file_id, name, kind in files
        ],
    }
    return {"transcript": [turn]}


INVOICE = sent(("f1", "invoice.pdf", "application/pdf"), ("f2", "a photo.jpg", "image/jpeg"))


@pytest.fixture
def server():
    with Simulator(SimulatorSettings(items=1, conversations=2)) as simulator:
        yield simulator


@pytest.fixture
def key(server):
    (conversation_id,) = server.conversations.add(status="done", fields=INVOICE)
    return conversation_id


def place_of(mount, key):
    return next(mount.path.glob(f"conversations/by-date/*/*/*/*{key}"))


def content(server, key, file_id):
    return bytes(server.conversations.file(key, file_id))


def code_of(call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno]


def histfs(*arguments, server=None, tmp_path=None, binding="mfusepy"):
    line = command(*arguments)
    if server is not None:
        line += ["--base-url", server.base_url, "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(line, env=environment(binding), capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_files_show_up_with_the_details_and_are_fetched_when_they_are_read(
    server, key, tmp_path, binding
):
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        assert "files" not in os.listdir(item)
        subprocess.run(["ls", "-lR", mount.path], check=True, capture_output=True)
        assert (server.counts[DETAIL], server.counts[FILE]) == (0, 0)
        assert "[00:12] user: (sends invoice.pdf, a photo.jpg)" in (item / "text.txt").read_text()
        assert set(os.listdir(item)) == WHOLE
        assert sorted(os.listdir(item / "files")) == ["a photo.jpg", "invoice.pdf"]
        subprocess.run(["ls", "-lR", mount.path], check=True, capture_output=True)
        subprocess.run(["du", "-a", mount.path], check=True, capture_output=True)
        assert server.counts[FILE] == 0
        file = item / "files/invoice.pdf"
        before = file.stat()
        assert before.st_size > 0
        assert file.read_bytes() == content(server, key, "f1")
        after = file.stat()
        assert after.st_size == len(content(server, key, "f1"))
        assert (after.st_ino, after.st_mtime) == (before.st_ino, item.stat().st_mtime)
        assert file.read_bytes() == content(server, key, "f1")
        assert server.counts[FILE] == 1
    # The exact size is kept, and so is the file.
    with mounted(server, tmp_path, binding) as mount:
        file = place_of(mount, key) / "files/invoice.pdf"
        assert file.stat().st_size == after.st_size
        assert file.stat().st_ino == after.st_ino
        assert file.read_bytes() == content(server, key, "f1")
    assert server.counts[FILE] == 1


def test_the_folder_can_be_asked_for_by_its_name_before_it_is_shown(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        file = place_of(mount, key) / "files/a photo.jpg"
        assert file.read_bytes() == content(server, key, "f2")
        none = next(path for path in mount.path.glob("conversations/*/*/*/*/*") if path != file)
        assert not (none.parent / "files2").exists()


def test_rm_r_keeps_a_copy_of_each_file_and_sends_one_delete(server, key, tmp_path, binding):
    contents = {name: content(server, key, name) for name in ("f1", "f2")}
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        (item / "text.txt").read_bytes()
        assert set(os.listdir(item)) == WHOLE
        done = subprocess.run(["rm", "-r", item], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.counts[DELETE] == 1
        assert not item.exists()
    trash = ("--trash", tmp_path / "trash")
    (entry,) = map(json.loads, histfs("trash", "list", "--json", *trash)[1].splitlines())
    kept = entry["entry"]["files"]
    assert set(kept) == WHOLE - {"files"} | {"files/invoice.pdf", "files/a photo.jpg"}
    assert kept["files/invoice.pdf"] == {
        "size": len(contents["f1"]),
        "sha256": hashlib.sha256(contents["f1"]).hexdigest(),
    }
    assert "files/invoice.pdf" in histfs("trash", "show", key, *trash)[1]
    status, out, _ = histfs("trash", "export", key, tmp_path / "out", *trash)
    assert status == 0
    exported = os.path.join(out.strip(), "files")
    assert sorted(os.listdir(exported)) == ["a photo.jpg", "invoice.pdf"]
    with open(os.path.join(exported, "a photo.jpg"), "rb") as file:
        assert file.read() == contents["f2"]


def test_a_conversation_without_audio_goes_with_its_directory(server, tmp_path, binding):
    (key,) = server.conversations.add(status="done", fields={**INVOICE, "has_audio": False})
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        (item / "text.txt").read_bytes()
        assert set(os.listdir(item)) == WHOLE - {"audio.mp3"}
        subprocess.run(["rm", "-r", item], check=True)
        assert server.counts[DELETE] == 1
    assert len(list(tmp_path.glob("trash/*/files/*"))) == 2


@pytest.mark.parametrize("first", ["audio.mp3", "files"])
def test_whatever_goes_first_one_delete_is_sent(server, key, tmp_path, binding, first):
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        (item / "meta.json").read_bytes()
        for name in sorted(WHOLE, key=lambda name: name != first):
            subprocess.run(["rm", "-r", item / name], check=True)
        item.rmdir()
        assert server.counts[DELETE] == 1


def test_files_that_nobody_had_seen_are_copied_all_the_same(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        assert "files" not in os.listdir(item)
        subprocess.run(["rm", "-r", item], check=True)
    assert (server.counts[FILE], server.counts[DELETE]) == (2, 1)
    assert len(list(tmp_path.glob("trash/*/files/*"))) == 2


def test_while_a_file_cannot_be_had_nothing_is_deleted(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        (item / "text.txt").read_bytes()
        server.faults.add(Fault("/files/", "status"))
        done = subprocess.run(["rm", "-r", item], capture_output=True, text=True)
        assert done.returncode == 1
        assert server.counts[DELETE] == 0
        assert set(os.listdir(item)) == WHOLE
        assert len(os.listdir(item / "files")) == 2
        assert code_of((item / "files/invoice.pdf").read_bytes) == "EIO"
        server.faults.clear()
        subprocess.run(["rm", "-r", item], check=True)
        assert server.counts[DELETE] == 1
    assert len(list(tmp_path.glob("trash/*/files/*"))) == 2


def test_without_a_trash_a_file_that_cannot_be_had_keeps_nothing(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding, "--no-trash") as mount:
        item = place_of(mount, key)
        (item / "text.txt").read_bytes()
        server.faults.add(Fault("/files/", "status"))
        subprocess.run(["rm", "-r", item], check=True)
        assert server.counts[DELETE] == 1


def test_a_file_that_the_server_has_deleted_for_certain_stands_in_nobodys_way(
    server, key, tmp_path, binding
):
    server.conversations.remove_file(key, "f1")
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        assert code_of((item / "files/invoice.pdf").read_bytes) == "EIO"
        subprocess.run(["rm", "-r", item], check=True)
        assert server.counts[DELETE] == 1
    assert [path.name for path in tmp_path.glob("trash/*/files/*")] == ["a photo.jpg"]
    assert "invoice.pdf" in next(tmp_path.glob("trash/*/text.txt")).read_text()


def test_a_server_that_does_not_know_the_address_has_not_deleted_the_file(tmp_path, binding):
    with Simulator(SimulatorSettings(items=1, conversations=2, attachments=False)) as server:
        (key,) = server.conversations.add(status="done", fields=INVOICE)
        with mounted(server, tmp_path, binding) as mount:
            item = place_of(mount, key)
            assert code_of((item / "files/invoice.pdf").read_bytes) == "EIO"
            done = subprocess.run(["rm", "-r", item], capture_output=True, text=True)
            assert done.returncode == 1
            assert server.counts[DELETE] == 0
            assert set(os.listdir(item)) == WHOLE


def test_a_file_that_is_unlinked_alone_is_hidden_and_nothing_is_sent(
    server, key, tmp_path, binding
):
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        (item / "files/invoice.pdf").unlink()
        assert os.listdir(item / "files") == ["a photo.jpg"]
        assert code_of((item / "files").rmdir) == "ENOTEMPTY"
        (item / "files/a photo.jpg").unlink()
        (item / "files").rmdir()
        assert set(os.listdir(item)) == WHOLE - {"files"}
        assert code_of(item.rmdir) == "ENOTEMPTY"
    assert server.counts[DELETE] == 0
    with mounted(server, tmp_path, binding) as mount:
        assert len(os.listdir(place_of(mount, key) / "files")) == 2


def test_a_crawler_fetches_no_file(server, key, tmp_path, binding):
    crawler = tmp_path / "tumblerd"
    shutil.copy(shutil.which("cat"), crawler)
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        assert subprocess.run([crawler, item / "text.txt"], capture_output=True).returncode == 1
        (item / "text.txt").read_bytes()
        file = item / "files/invoice.pdf"
        assert b"denied" in subprocess.run([crawler, file], capture_output=True).stderr
        assert server.counts[FILE] == 0
        expected = file.read_bytes()
        # A reader has all of it a moment before it stands in the cache.
        eventually(lambda: subprocess.run([crawler, file], capture_output=True).stdout == expected)


def test_the_address_beside_a_file_is_never_asked(tmp_path, binding):
    with (
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        Simulator(SimulatorSettings(items=1)) as server,
    ):
        port = elsewhere.getsockname()[1]
        fields = sent(("f1", "a.txt", "text/plain"), url=f"http://127.0.0.1:{port}/f1")
        (key,) = server.conversations.add(status="done", fields=fields)
        with mounted(server, tmp_path, binding) as mount:
            item = place_of(mount, key)
            assert (item / "files/a.txt").read_bytes() == content(server, key, "f1")
            subprocess.run(["rm", "-r", item], check=True)
        elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_nothing_is_removed_from_a_read_only_mount(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "ro") as mount:
        files = place_of(mount, key) / "files"
        assert code_of((files / "invoice.pdf").unlink) == "EROFS"
        assert code_of(files.rmdir) == "EROFS"
        assert code_of((files / "new.txt").write_text, "x") == "EROFS"


@pytest.mark.parametrize("trash", [[], ["--no-trash"]], ids=["trash", "no trash"])
def test_rsync_takes_every_file_out_before_it_is_gone(server, key, tmp_path, binding, trash):
    contents = {name: content(server, key, name) for name in ("f1", "f2")}
    with mounted(server, tmp_path, binding, *trash) as mount:
        item = place_of(mount, key)
        (item / "text.txt").read_bytes()
        target = tmp_path / "target"
        line = ["rsync", "-a", "--remove-source-files", f"{item}/", f"{target}/"]
        done = subprocess.run(line, capture_output=True, text=True)
        # One whose size became exact while it was copied stays.
        assert done.returncode in (0, 23), done.stderr
        assert (target / "files/invoice.pdf").read_bytes() == contents["f1"]
        assert (target / "files/a photo.jpg").read_bytes() == contents["f2"]
        assert server.counts[DELETE] <= 1


def test_mv_takes_everything_out(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        (item / "text.txt").read_bytes()
        expected = content(server, key, "f1")
        shutil.move(item, tmp_path / "moved")
        assert (tmp_path / "moved/files/invoice.pdf").read_bytes() == expected
        assert server.counts[DELETE] == 1


def test_real_directories_show_one_file_in_every_view(server, key, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "placement=dir") as mount:
        (place_of(mount, key) / "text.txt").read_bytes()
        found = list(mount.path.glob(f"conversations/by-*/**/*{key}/files/invoice.pdf"))
        assert len(found) > 1
        stats = [path.stat() for path in found]
        assert len({each.st_ino for each in stats}) == 1
        assert {each.st_nlink for each in stats} == {len(found)}
        done = subprocess.run(
            ["find", mount.path, "-name", "*.pdf"], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == len(found)


def test_odd_names_are_safe_unique_and_stable(tmp_path, binding):
    names = [
        "photo.png",
        "photo.png",
        "PHOTO.PNG",
        "../../x/y",
        "",
        "..",
        "é" * 600 + ".txt",
        "\n\x1b",
    ]
    fields = sent(*((f"file/{n} ü", name, "text/plain") for n, name in enumerate(names)))
    with Simulator(SimulatorSettings(items=1, conversations=2)) as server:
        (key,) = server.conversations.add(status="done", fields=fields)
        shown = []
        for _ in range(2):
            with mounted(server, tmp_path, binding) as mount:
                files = place_of(mount, key) / "files"
                text = (files.parent / "text.txt").read_text()
                assert files.is_dir()
                shown.append(sorted(os.listdir(files)))
                assert all(name in text for name in shown[-1])
                for name in shown[-1]:
                    number = re.search(rb" file/(\d) ", (files / name).read_bytes())[1].decode()
                    assert (files / name).read_bytes() == content(server, key, f"file/{number} ü")
    assert shown[0] == shown[1]
    assert len({name.casefold() for name in shown[0]}) == len(names)
    assert all(len(name.encode()) <= 255 and name.isprintable() for name in shown[0])
    assert "photo.png" in shown[0]
    assert next(name for name in shown[0] if name.startswith("éé")).endswith(".txt")


@pytest.mark.parametrize(
    ("kind", "name"), [("text/html", "page.html"), ("application/json", "error.json")]
)
def test_a_file_may_look_like_an_error_message(tmp_path, binding, kind, name):
    with Simulator(SimulatorSettings(items=1, conversations=2)) as server:
        (key,) = server.conversations.add(status="done", fields=sent(("f1", name, kind)))
        with mounted(server, tmp_path, binding) as mount:
            file = place_of(mount, key) / "files" / name
            assert file.read_bytes() == content(server, key, "f1")


def test_a_picture_that_comes_as_a_page_is_an_error(server, key, tmp_path, binding):
    server.faults.add(Fault("/files/", "html"))
    with mounted(server, tmp_path, binding) as mount:
        assert code_of((place_of(mount, key) / "files/a photo.jpg").read_bytes) == "EIO"


def test_sync_makes_files_available_offline_and_verify_checks_them(server, key, tmp_path, binding):
    expected = content(server, key, "f1")
    status, out, err = histfs("sync", "--audio", server=server, tmp_path=tmp_path)
    assert status == 0, err
    assert server.counts[FILE] >= 2
    with mounted(server, tmp_path, binding) as mount:
        item = place_of(mount, key)
        os.listdir(mount.path / "conversations")
        asked = server.counts[FILE]
        server.faults.add(Fault("/files/", "status", status=503))
        assert (item / "files/invoice.pdf").read_bytes() == expected
        assert server.counts[FILE] == asked
    (clip,) = (path for path in tmp_path.glob("cache/*/audio/*/*") if path.read_bytes() == expected)
    clip.write_bytes(expected[:-1] + b"!")
    status, out, err = histfs("cache", "verify", server=server, tmp_path=tmp_path)
    assert status != 0
    assert "1 damaged" in out


def test_the_commands_without_a_mount_know_them(server, key, tmp_path, binding):
    there = {"server": server, "tmp_path": tmp_path, "binding": binding}
    assert histfs("sync", **there)[0] == 0
    name = next(
        line
        for line in histfs("ls", "conversations/by-date/2026/01/31", **there)[1].splitlines()
        if line.endswith(key)
    )
    path = f"conversations/by-date/2026/01/31/{name}"
    assert "files" in histfs("ls", path, **there)[1].splitlines()
    assert histfs("ls", f"{path}/files", **there)[1].splitlines() == ["invoice.pdf", "a photo.jpg"]
    line = command("cat", f"{path}/files/invoice.pdf", "--base-url", server.base_url)
    line += ["--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(line, env=environment(binding), capture_output=True)
    assert done.stdout == content(server, key, "f1")
    trash = ["--trash", tmp_path / "trash"]
    status, _, err = histfs("rm", f"{path}/files/invoice.pdf", *trash, **there)
    assert status != 0
    assert "a file alone is not deleted" in err
    assert histfs("rm", path, *trash, **there)[0] == 0
    assert server.counts[DELETE] == 1
    assert len(list(tmp_path.glob("trash/*/files/*"))) == 2
