"""The key is sent to the server alone; files are private to their owner."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.cli.conftest import KEY, TIMEOUT
from tests.support.eventually import eventually
from tests.support.mounts import command, mounted

READER = "reader-key"


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def modes_below(directory):
    """Return the permissions of a directory and of all that is in it, by path."""
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in [directory, *directory.rglob("*")]}


# Where the key comes from


def test_a_key_file_that_others_can_read_is_refused_with_the_chmod_to_run(run, place, tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    done = run("mount", "-f", place, "--api-key-file", file, key=None)
    assert done.status == 78
    assert f"chmod 600 {file}" in done.line


def test_a_key_command_that_fails_is_one_line(run, place):
    done = run("mount", "-f", place, "--api-key-command", "false")
    assert done.status == 77
    assert "the command false gave no API key" in done.line


def test_of_a_file_and_a_command_the_one_given_nearer_by_counts(run, place, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("api_key_file = '/nowhere/key'\n")
    arguments = ["mount", "-f", place, "--config", config]
    assert "/nowhere/key" in run(*arguments).line
    assert "the command false" in run(*arguments, "--api-key-command", "false").line
    assert "the command false" in run(*arguments, HISTFS_API_KEY_COMMAND="false").line
    both = ["--api-key-command", "false", "--api-key-file", "/nowhere/other"]
    assert "/nowhere/other" in run(*arguments, *both).line


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_mount_says_where_its_key_comes_from(simulator, tmp_path, binding, run):
    given = ["--api-key-command", f"echo {simulator.api_key}"]
    with mounted(simulator, tmp_path, binding, *given, env={"ELEVENLABS_API_KEY": "x"}) as mount:
        status_text = run("status", mount.path)
        told_to_programs = run("status", mount.path, "--json")
        status = (mount.path / ".histfs").read_text()
    assert "key from       the command echo\n" in status_text.out
    assert '"key_from": "the command echo"' in told_to_programs.out
    assert simulator.api_key not in status_text.out + told_to_programs.out + status


# Where it goes


def test_no_child_process_gets_the_key_with_its_environment(spawn, place, tmp_path):
    dump = script(tmp_path / "dump", f"env > {tmp_path}/env; echo wrong-key")
    with Simulator(SimulatorSettings(items=1)) as server:
        done = spawn(
            "mount", "-f", place, "--base-url", server.base_url, "--api-key-command", dump,
            ELEVEN_API_KEY=KEY,
        )  # fmt: skip
    assert done.status == 77
    environment = (tmp_path / "env").read_text()
    assert "PATH=" in environment
    assert KEY not in environment


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_neither_does_what_unmounts(simulator, tmp_path, binding, spawn):
    programs = tmp_path / "bin"
    programs.mkdir()
    real = next(p for p in ("/usr/bin/fusermount3", "/bin/fusermount3") if os.path.exists(p))
    script(programs / "fusermount3", f'env > {tmp_path}/env; exec {real} "$@"')
    with mounted(simulator, tmp_path / "a", binding) as mount:
        done = spawn("umount", mount.path, PATH=f"{programs}:{os.environ['PATH']}")
        assert (done.status, done.out, done.err) == (0, "", "")
    environment = (tmp_path / "env").read_text()
    assert "PATH=" in environment
    assert KEY not in environment


def test_the_key_is_not_sent_to_another_machine_in_the_clear(run, place, tmp_path):
    arguments = ["mount", "-f", place, "--base-url", "http://histfs.invalid"]
    done = run(*arguments)
    assert done.status == 2
    assert "--insecure-http" in done.line
    asked_for = run(*arguments, "--insecure-http", "--timeout", "1", "--cache-dir", tmp_path / "c")
    assert asked_for.status == 69


@pytest.mark.parametrize(("first", "others"), [(KEY, ""), ("x" * 9, f"Secret({KEY!r})")])
def test_a_key_that_is_logged_is_not_in_the_log(tmp_path, first, others):
    code = (
        "import logging; from histfs import logs; from histfs.core.secret import Secret\n"
        f"logs.start(foreground=True, debug=True, key=Secret({first!r}), others=[{others}])\n"
        f"logging.info('a header: %s', {KEY!r})\n"
        f"try: raise ValueError({KEY!r})\n"
        "except ValueError: logging.exception('it failed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0
    assert "a header: ***" in done.stderr
    assert "ValueError: ***" in done.stderr
    assert KEY not in done.stderr


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_server_that_spells_the_key_gets_it_into_nothing_that_is_told(tmp_path, binding, run):
    spelled = {
        "JSON": "".join(f"\\u{ord(c):04x}" for c in KEY),
        "URL": "".join(f"%{ord(c):02X}" for c in KEY),
        "apart": "\u200b".join(KEY),
        "part": KEY[:12],
    }
    message = "; ".join(f"{name} {form}" for name, form in spelled.items())
    body = f'{{"detail": {{"status": "bad", "message": "{message}"}}}}'
    # A shorter part reveals nothing, and may be part of a number.
    pieces = {KEY[n : n + 7] for n in range(len(KEY) - 6)}
    with (
        Simulator(SimulatorSettings(items=3, api_key=KEY)) as server,
        mounted(
            server, tmp_path, binding, "--listing-ttl", "0", env={"ELEVENLABS_API_KEY": KEY}
        ) as mount,
    ):
        server.faults.add(Fault("GET /v1/history", "status", status=500, body=body))
        with pytest.raises(OSError):
            next(mount.items()[0].glob("audio.[!s]*")).read_bytes()
        outputs = {
            "status": run("status", mount.path).out,
            "status --json": run("status", mount.path, "--json").out,
            ".histfs": (mount.path / ".histfs").read_text(),
            "the log": mount.log.read_text(),
        }
        asked = ["--base-url", server.base_url, "--cache-dir", tmp_path / "other"]
        outputs["doctor"] = run("doctor", *asked).out
        outputs["sync"] = run("sync", *asked, XDG_STATE_HOME=str(tmp_path / "state")).err
    for where, text in outputs.items():
        assert "JSON ***; URL ***; apart ***; part ***" in text, where
        assert [piece for piece in pieces if piece in text] == [], where
        assert "u0073" not in text, where
        assert "%73" not in text, where


# What is kept


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
@pytest.mark.parametrize("umask", [0o000, 0o277, 0o777], ids=oct)
def test_what_is_kept_is_for_its_owner_alone_whatever_the_umask(
    simulator, place, tmp_path, binding, umask, spawn
):
    kept = [tmp_path / name for name in ("cache", "trash", "state")]
    arguments = ["--cache-dir", kept[0], "--trash", kept[1], "--base-url", simulator.base_url]
    env = {
        **os.environ, "ELEVENLABS_API_KEY": simulator.api_key, "HISTFS_FUSE": binding,
        "XDG_STATE_HOME": str(kept[2]),
    }  # fmt: skip
    done = subprocess.run(
        command("mount", place, *arguments),
        env=env, umask=umask, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    try:
        next(place.glob("by-date/*/*/*/*/audio.[!s]*")).read_bytes()
        next(place.glob("by-date/*/*/*/*/audio.[!s]*")).unlink()
        modes = {path: mode for directory in kept for path, mode in modes_below(directory).items()}
    finally:
        assert spawn("umount", "--lazy", place).status == 0
    names = {path.name for path in modes}
    assert {"catalog.sqlite", "catalog.sqlite-wal", "used", "entry.json", "histfs.log"} <= names
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_cache_that_was_open_to_others_is_closed(tmp_path, simulator, run, caplog):
    arguments = ["sync", "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache"]
    run(*arguments, key=simulator.api_key)
    (account,) = (tmp_path / "cache").iterdir()
    account.chmod(0o755)
    log = tmp_path / "state" / "histfs" / "log" / "histfs.log"
    assert run(*arguments, key=simulator.api_key, XDG_STATE_HOME=str(tmp_path / "state")).err == ""
    assert stat.S_IMODE(account.stat().st_mode) == 0o700
    assert f"{account} was open to others (mode 0755)" in log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("whose", ["cache", "account", "link"])
def test_a_cache_that_another_user_may_have_filled_is_not_used(tmp_path, simulator, run, whose):
    link, cache = tmp_path / "link", tmp_path / "cache"
    cache.mkdir()
    link.symlink_to(cache)
    arguments = ["--base-url", simulator.base_url, "--cache-dir", link]
    log = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert run("sync", *arguments, key=simulator.api_key, **log).status == 0
    (account,) = cache.iterdir()
    os.lchown({"cache": cache, "account": account, "link": link}[whose], 12345, 12345)
    asked = simulator.counts.total
    for command_ in (["sync"], ["purge", "--local", "--dry-run", "some-id"]):
        done = run(*command_, *arguments, key=simulator.api_key, **log)
        assert done.status == 78
        assert "the cache is not used" in done.err
        assert "another user (12345)" in done.err
    assert simulator.counts.total == asked
    examined = run("doctor", *arguments, key=simulator.api_key)
    assert "fail  cache " in examined.out
    assert "another user (12345)" in examined.out


def test_a_cache_in_which_others_can_write_is_refused_with_what_to_run(tmp_path, run, simulator):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    arguments = ["sync", "--base-url", simulator.base_url, "--cache-dir", cache]
    done = run(*arguments, key=simulator.api_key, XDG_STATE_HOME=str(tmp_path / "state"))
    assert done.status == 78
    assert f"run chmod go-w {cache}" in done.line
    assert list(cache.iterdir()) == []


def test_a_configuration_that_others_can_write_is_refused(tmp_path, run, place):
    config = tmp_path / "config.toml"
    config.write_text("api-key-command = 'touch owned'\n")
    config.chmod(0o666)
    done = run("mount", place, "--config", config, key=None)
    assert done.status == 78
    assert f"run chmod go-w {config}" in done.line


# Who else can read


def list_as_another_user(path):
    """Return what a process of another user finds in a directory, or the errno that it gets."""
    code = f"import os; os.setgid(65534); os.setuid(65534); print(os.listdir({str(path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT
    )
    return done.stdout + done.stderr


@pytest.mark.fuse
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("options", "found", "warned"),
    [
        ("umask=022", "Permission denied", None),
        ("allow_other", "Permission denied", "readable to its owner alone"),
        ("allow_other,umask=022", "by-voice", "readable to every user of this machine"),
    ],
)
def test_others_are_let_in_only_when_asked_and_with_a_warning(
    simulator, open_place, binding, options, found, warned
):
    with mounted(simulator, open_place, binding, "-o", options) as mount:
        assert found in list_as_another_user(mount.path)
        log = mount.log.read_text()
    assert ("allow_other:" in log) == (warned is not None)
    assert (warned or "") in log


@pytest.fixture
def open_place(tmp_path):
    """A directory to which everybody finds the way; pytest's own are closed."""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001:
            path.chmod(0o711)
    return tmp_path


# What the key may do


@pytest.mark.fuse
def test_a_key_that_may_not_delete_gets_eacces_and_the_log_says_what_it_lacks(tmp_path, binding):
    limited = {READER: frozenset({"speech_history_read"})}
    with (
        Simulator(SimulatorSettings(items=3, limited_keys=limited)) as server,
        mounted(server, tmp_path, binding, env={"ELEVENLABS_API_KEY": READER}) as mount,
    ):
        item, *_ = mount.items()
        before = sorted(os.listdir(item))
        audio = next(item.glob("audio.[!s]*"))
        with pytest.raises(OSError) as caught:
            audio.unlink()
        assert caught.value.errno == errno.EACCES
        removed = subprocess.run(
            ["rm", "-r", str(item)], capture_output=True, text=True, timeout=TIMEOUT
        )
        assert removed.returncode == 1
        assert "Permission denied" in removed.stderr
        eventually(lambda: sorted(os.listdir(item)) == before)
        assert audio.read_bytes()
        assert len(mount.items()) == 3
        assert "missing the permission speech_history_write" in mount.log.read_text()
        assert server.counts["DELETE /v1/history/{id}"] == 2
