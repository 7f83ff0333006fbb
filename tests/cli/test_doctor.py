"""`histfs doctor`: a line for each thing that a mount needs, and the status of what fails first."""

from __future__ import annotations

import email.utils
import json
import os
import sqlite3
import time

import pytest

from histfs.cli import doctor_checks
from histfs.fuse import mountpoint
from histfs.simulator import Fault
from tests.cli.conftest import KEY
from tests.support.mounts import mounted


@pytest.fixture(autouse=True)
def able(tmp_path, monkeypatch):
    """A machine that can mount, whatever this one is; the tests take away from it."""
    device, table = tmp_path / "fuse", tmp_path / "mountinfo"
    device.touch()
    table.write_text("22 1 0:21 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(mountpoint, "_DEVICE", device)
    monkeypatch.setattr(mountpoint, "_MOUNTS", table)
    monkeypatch.setattr(doctor_checks, "_DEVICE", device)
    monkeypatch.setattr(doctor_checks, "FUSE_CONFIG", tmp_path / "fuse.conf")
    monkeypatch.setattr(doctor_checks.binding, "load", lambda: "a library")
    monkeypatch.setattr(mountpoint.shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.fixture
def examine(run, server, tmp_path):
    """Run doctor, and return its exit status and the findings of each check, by its name."""

    def examine(*arguments, **how):
        place = ["--cache-dir", tmp_path / "cache", "--trash", tmp_path / "trash"]
        done = run("doctor", "--base-url", server.base_url, *place, *arguments, **how)
        assert done.err == ""
        found = {}
        *lines, verdict = done.out.splitlines()
        assert verdict.startswith("A mount would fail here" if done.status else "A mount works")
        for line in lines:
            level, check, message = line[:4].strip(), line[6:19].strip(), line[21:]
            found.setdefault(check, []).append(f"{level}: {message}")
        return done.status, {check: "\n".join(message) for check, message in found.items()}

    return examine


def failing(found):
    return {check for check, message in found.items() if message.startswith("fail")}


def test_where_all_is_well_each_check_is_ok_and_the_server_was_asked_twice(examine, server):
    status, found = examine()
    assert status == 0
    assert list(found) == [
        "histfs", "FUSE library", "FUSE device", "fusermount", "allow_other", "plugins", "key",
        "server", "access", "permissions", "conversations", "clock", "cache", "catalog", "trash",
        "mounts",
    ]  # fmt: skip
    assert all(message.startswith("ok: ") for message in found.values()), found
    assert found["key"] == "ok: from the variable ELEVENLABS_API_KEY"
    asked = [record.endpoint for record in server.counts.log]
    assert asked == ["GET /v1/history", "GET /v1/convai/conversations"]


def test_nothing_is_made(examine, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    examine()
    assert sorted(tmp_path.rglob("*")) == before


def test_programs_get_one_object(run, server):
    done = run("doctor", "--json", "--base-url", server.base_url, key="wrong")
    assert done.status == 77
    assert len(done.out.splitlines()) == 1
    checked = {check["check"]: check for check in json.loads(done.out)["checks"]}
    assert checked["server"]["level"] == "ok"
    assert (checked["access"]["level"], checked["access"]["status"]) == ("fail", 77)
    assert "Invalid API key" in checked["access"]["said"]


# The machine


def test_a_missing_device_is_told_with_what_to_run(examine, monkeypatch, tmp_path):
    monkeypatch.setattr(mountpoint, "_DEVICE", tmp_path / "none")
    status, found = examine()
    assert status == 69
    assert failing(found) == {"FUSE device"}
    assert "modprobe fuse" in found["FUSE device"]


def test_a_device_that_can_not_be_opened_says_why(examine, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_checks, "_DEVICE", tmp_path)
    status, found = examine()
    assert status == 69
    assert "Is a directory" in found["FUSE device"]


@pytest.mark.parametrize(("user", "status", "level"), [(0, 0, "warn"), (1000, 69, "fail")])
def test_without_fusermount_only_root_can_mount(examine, monkeypatch, user, status, level):
    monkeypatch.setattr(mountpoint.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor_checks.os, "geteuid", lambda: user)
    ended, found = examine()
    assert ended == status
    assert found["fusermount"].startswith(f"{level}: ")
    assert "apt install fuse3" in found["fusermount"]


@pytest.mark.parametrize(
    ("content", "who"),
    [("user_allow_other\n", "every user"), ("# no\n user_allow_other \n", "every user"),
     ("#user_allow_other\n", "root alone"), (None, "root alone")],
)  # fmt: skip
def test_who_may_let_others_in_is_told(examine, tmp_path, content, who):
    if content is not None:
        (tmp_path / "fuse.conf").write_text(content)
    assert examine()[1]["allow_other"].startswith(f"ok: {who}")


def test_a_check_that_breaks_hides_no_other(examine, monkeypatch):
    monkeypatch.setattr(doctor_checks.binding, "load", lambda: 1 / 0)
    status, found = examine()
    assert status == 70
    assert failing(found) == {"FUSE library"}
    assert found["mounts"].startswith("ok")


# The key and the server


def test_without_a_key_the_rest_is_still_looked_at(examine, server):
    status, found = examine(key=None)
    assert status == 77
    assert failing(found) == {"key"}
    assert "--api-key-file" in found["key"]
    assert found["cache"].startswith("ok")
    assert server.counts.total == 0


def test_a_key_file_that_others_can_read_is_a_failure(examine, tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o640)
    status, found = examine("--api-key-file", file)
    assert status == 78
    assert f"chmod 600 {file}" in found["key"]


def test_a_key_without_the_permission_to_read_is_known_all_the_same(examine):
    status, found = examine(key="writer")
    assert status == 77
    assert failing(found) == {"permissions"}
    assert "speech_history_read" in found["permissions"]
    assert found["access"].startswith("ok")


def test_a_server_that_does_not_answer_is_a_failure(examine, server):
    server.faults.add(Fault("GET", "html"))
    status, found = examine()
    assert status == 69
    assert failing(found) == {"server"}


def test_a_server_that_is_busy_is_no_failure(examine, server, monkeypatch):
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda seconds: None)
    server.faults.add(Fault("GET", "status", status=429))
    status, found = examine()
    assert status == 0
    assert found["server"].startswith("warn")


def test_a_key_is_not_sent_in_the_clear_to_find_out(examine):
    status, found = examine("--base-url", "http://histfs.invalid")
    assert status == 2
    assert "--insecure-http" in found["server"]


@pytest.mark.parametrize(
    ("ahead", "message"),
    [(3600, "seconds behind the server's"), (-3600, "seconds ahead of the server's")],
)
def test_a_clock_that_is_wrong_is_told(examine, server, ahead, message):
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    server.faults.add(Fault("GET", "headers", headers={"Date": date}))
    status, found = examine()
    assert status == 0
    assert found["clock"].startswith("warn")
    assert message in found["clock"]


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 99999 00:00:00 GMT"])
def test_a_date_that_can_not_be_read_tells_nothing(examine, server, date):
    server.faults.add(Fault("GET", "headers", headers={"Date": date}))
    status, found = examine()
    assert status == 0
    assert "clock" not in found


# The cache, the trash and the mounts


@pytest.fixture
def catalog(run, server, tmp_path):
    """A catalog that was made before."""
    place = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
    assert run("sync", *place).status == 0
    (found,) = tmp_path.glob("cache/*/catalog.sqlite")
    return found


def test_a_catalog_is_read_through(examine, catalog):
    status, found = examine()
    assert status == 0
    assert found["catalog"] == f"ok: {catalog} is sound"
    assert found["cache"].startswith(f"ok: {catalog.parent} is private")


def test_a_damaged_catalog_is_told_with_what_to_run(examine, catalog):
    with sqlite3.connect(catalog) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    content = bytearray(catalog.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    catalog.write_bytes(content)
    status, found = examine()
    assert status == 78
    assert failing(found) == {"catalog"}
    assert f"rm {catalog}" in found["catalog"]


@pytest.mark.parametrize("name", ["cache", "trash"])
def test_a_directory_that_is_a_file_can_not_be_used(examine, tmp_path, name):
    (tmp_path / name).write_text("")
    # Not even click takes a file for one; what is below it only shows here.
    below = tmp_path / name / "below"
    option = {"cache": "--cache-dir", "trash": "--trash"}[name]
    status, found = examine(option, below)
    assert status == 78
    assert failing(found) == {name}


def test_a_directory_that_can_not_be_written_can_not_be_used(examine, catalog, monkeypatch):
    monkeypatch.setattr(doctor_checks.os, "access", lambda path, mode: path != catalog.parent)
    status, found = examine()
    assert status == 78
    assert failing(found) == {"cache"}
    assert f"{catalog.parent} can't be written" in found["cache"]


def test_a_directory_that_is_open_to_others_is_told_with_the_chmod(examine, catalog, tmp_path):
    catalog.parent.chmod(0o750)
    (tmp_path / "trash").mkdir()
    (tmp_path / "trash").chmod(0o755)
    status, found = examine()
    assert status == 0
    assert f"chmod 700 {catalog.parent}" in found["cache"]
    assert f"chmod 700 {tmp_path / 'trash'}" in found["trash"]
    assert found["trash"].startswith("warn")


def test_a_disk_that_is_nearly_full_is_told(examine, catalog, monkeypatch):
    monkeypatch.setattr(doctor_checks, "_LOW_SPACE", 1 << 62)
    status, found = examine()
    assert status == 0
    assert found["cache"].startswith("warn")
    assert "MB left" in found["cache"]


def test_a_mountpoint_that_can_not_be_used_is_a_failure(examine, tmp_path, place):
    assert examine(place)[1]["mountpoint"].startswith("ok")
    status, found = examine(tmp_path / "missing")
    assert status == 2
    assert "mkdir -p" in found["mountpoint"]


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_mount_whose_process_has_died_is_told(
    server, tmp_path, binding, examine, run, monkeypatch
):
    monkeypatch.setattr(mountpoint, "_MOUNTS", mountpoint.Path("/proc/self/mountinfo"))
    with mounted(server, tmp_path / "a", binding) as mount:
        path = mount.path
        assert f"ok: {path} is served" in examine()[1]["mounts"]
        mount.kill()
        status, found = examine()
    assert status == 0
    assert (
        f"warn: {path} holds a mount whose process has died: run histfs umount {path}"
        in (found["mounts"])
    )


@pytest.mark.parametrize("odd", ["\x1b[2J", "\x9b1m", "a\nb"])
def test_a_strangers_text_can_not_write_to_the_terminal(run, server, odd, tmp_path):
    server.faults.add(Fault("GET", "status", status=500, body={"detail": odd}))
    (tmp_path / "x").mkdir()
    done = run("doctor", "--base-url", server.base_url, "--trash", tmp_path / "x" / odd)
    assert all(line.isprintable() for line in done.out.splitlines())
    assert os.fspath(tmp_path / "x") in done.out


def test_conversations_that_may_not_be_listed_are_a_warning(examine, server):
    server.permissions = frozenset({"speech_history_read"})
    status, found = examine()
    assert status == 0
    assert found["conversations"].startswith("warn: their folder is closed")
    assert "convai_read" in found["conversations"]
    server.permissions = None
    server.faults.add(Fault("GET /v1/convai/conversations", "status", status=404))
    assert examine()[1]["conversations"].startswith("ok: the server has none")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["bsdtar"], "bsdtar: archiver, by the rule bsdtar"),
        (["/usr/bin/updatedb.plocate"], "updatedb.plocate: crawler, by the rule updatedb*"),
        (["busybox tar"], "busybox: archiver, by the rule busybox with the argument tar"),
        (["rsync"], "rsync: default, no rule is about it"),
        (["rsync", "--crawlers", "rs*"], "rsync: crawler, by the rule rs* (--crawlers)"),
    ],
)
def test_the_class_of_a_program_is_told(run, arguments, expected):
    done = run("doctor", "--program", *arguments)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(expected)


def test_the_file_of_programs_is_that_of_the_configuration(run, tmp_path):
    table, config = tmp_path / "table", tmp_path / "config.toml"
    table.write_text('[[program]]\nname = "my-backup"\nclass = "archiver"\n')
    config.write_text(f'programs = "{table}"\n')
    done = run("doctor", "--program", "my-backup", "--config", config)
    assert done.out.startswith(f"my-backup: archiver, by the rule my-backup ({table})")
    table.write_text("[[program]]\n")
    assert str(table) in run("doctor", "--program", "my-backup", "--config", config).err


def test_a_program_is_told_alone(run, tmp_path):
    for more in (["--json"], ["--facts"], [tmp_path]):
        assert run("doctor", "--program", "cp", *more).status == 2
    assert run("doctor", "--program", "").status == 2
