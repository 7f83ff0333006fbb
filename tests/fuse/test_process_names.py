"""What a process is called, and what that makes it get."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from histfs.core.programs import Process, ProgramClass, ProgramTable, Rule
from histfs.fuse import calling_programs as callers
from histfs.fuse.calling_programs import CallingPrograms, process_of, serves_network
from histfs.programs import program_table

GONE = 1 << 30


def class_of(program, name, *arguments):
    rule = program_table(None, None).rule_for(Process(program, name, arguments))
    return ProgramClass.DEFAULT if rule is None else rule.program_class


def crawlers(*patterns):
    rules = (Rule(each, ProgramClass.CRAWLER, origin="--crawlers") for each in patterns)
    return CallingPrograms(ProgramTable(tuple(rules)))


@pytest.mark.parametrize(
    "program",
    [
        "tumblerd",
        "ffmpegthumbnailer",
        "totem-video-thumbnailer",
        "tracker-extract",
        "tracker-extract-3",
        "tracker-miner-fs-3",
        "localsearch-3",
        "localsearch-extractor-3",
        "baloo_file",
        "baloo_file_extractor",
        "updatedb",
        "updatedb.plocate",
    ],
)
def test_crawlers_are_known_by_their_programs_whatever_they_call_themselves(program):
    assert class_of(program, program[:15]) is ProgramClass.CRAWLER
    assert class_of(program, "pool-3") is ProgramClass.CRAWLER


@pytest.mark.parametrize("program", ["mpv", "vlc", "ffplay"])
def test_players_are_known_by_their_programs(program):
    assert class_of(program, program[:15]) is ProgramClass.PLAYER
    assert class_of("", program[:15]) is ProgramClass.PLAYER


@pytest.mark.parametrize(
    "program",
    ["rhythmbox", "totem", "ffprobe", "rsync", "cat", "nautilus", "python3.11",
     "music-player-of", "music-player-of-mine", "", "a"],
)  # fmt: skip
def test_others_are_not(program):
    assert class_of(program, program[:15]) is ProgramClass.DEFAULT
    assert class_of("", program[:15]) is ProgramClass.DEFAULT


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bsdtar -cf x .", "archiver"),
        ("tar -cf x .", "default"),
        ("busybox tar cf x .", "archiver"),
        ("busybox cp -r . x", "default"),
        ("python3 -I /usr/bin/rdiff-backup backup . x", "archiver"),
        ("python3 -m rdiff-backup", "archiver"),
        ("python3 -c 0 rdiff-backup", "default"),
        ("cat rdiff-backup", "default"),
        ("kioslave5 /usr/lib/qt5/plugins/kf5/kio/thumbnail.so thumbnail local:/x", "crawler"),
        ("kioworker /usr/lib/qt6/plugins/kf6/kio/kio_file.so file local:/x", "default"),
    ],
)
def test_a_script_and_arguments_tell_programs_apart(line, expected):
    program, *_ = arguments = line.split()
    assert class_of(program, program[:15], *arguments).value == expected


def test_another_name_of_busybox_is_its_applet():
    assert class_of("busybox", "tar", "/bin/tar", "cf", "x") is ProgramClass.ARCHIVER


@pytest.mark.parametrize(
    ("program", "name", "pattern", "expected"),
    [
        # As long as the kernel keeps it, or longer, of an interpreter's script or a hidden program.
        ("python3", "baloo_file_extr", "baloo_file_extractor", True),
        ("", "baloo_file_extr", "baloo_file_extractor", True),
        ("", "updatedb.plocat", "updatedb.plocate", True),
        ("", "updatedb.plocat", "updatedb*", True),
        ("", "tracker-extract", "tracker-extract", True),
        ("", "tracker-extract", "tracker-extract-3", True),
        ("", "tracker-extract", "t*-extractor-of-all", False),
        # Not cut off: it is shorter.
        ("", "tumbler", "tumblerd", False),
        ("", "baloo_file_ext", "baloo_file_extractor", False),
        # Cut off, and the program tells how it goes on.
        ("tracker-extract-3", "tracker-extract", "tracker-extract", False),
        ("tracker-extractor", "tracker-extract", "tracker-extract-3", False),
        ("tracker-extract-3", "tracker-extract", "tracker-*-3", True),
        # Nothing that could follow is taken for there.
        ("", "totem-video-thu", "*thumbnailer", False),
        ("", "abcdefghijklmno", "*p", False),
        # Patterns.
        ("x", "x", "?", True),
        ("Tumblerd", "Tumblerd", "tumblerd", False),
        ("tumblerd", "tumblerd", "*", True),
        ("tumblerd", "pool", "tumbl[ex]rd", True),
        ("tumblerd", "tumblerd", "umblerd", False),
        ("tumblerd", "tumblerd", "", False),
    ],
)
def test_a_pattern_is_of_a_name_or_of_what_is_left_of_it(program, name, pattern, expected):
    assert Process(program, name).matches(pattern) == expected


def test_a_thread_is_its_process():
    found = []

    def look():
        thread = threading.get_native_id()
        Path(f"/proc/self/task/{thread}/comm").write_text("pool-3")
        found.append(process_of(thread))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    name = Path("/proc/self/comm").read_text().strip()
    assert found == [process_of(os.getpid())]
    assert found[0][:2] == (Path("/proc/self/exe").resolve().name, name)
    assert found[0].arguments[1:] == tuple(sys.orig_argv[1:])


def test_a_program_that_was_updated_while_it_runs_keeps_its_name(tmp_path):
    program = tmp_path / "a program of a long name"
    shutil.copy(shutil.which("sleep"), program)
    running = subprocess.Popen(["sleep", "60"], executable=program)
    try:
        program.unlink()
        while process_of(running.pid).name == process_of(os.getpid()).name:
            time.sleep(0.01)  # exec(2) closes descriptors before it gives the new name
        names = Process(program.name, program.name[:15], ("sleep", "60"))
        assert process_of(running.pid) == names
    finally:
        running.kill()
        running.wait()


def test_a_program_that_is_hidden_has_its_name(monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    name = process_of(os.getpid()).name
    monkeypatch.setattr(Path, "readlink", denied)
    assert process_of(os.getpid())[:2] == ("", name)


@pytest.mark.parametrize("pid", [0, -1, GONE], ids=["elsewhere", "none", "gone"])
def test_who_can_not_be_seen_is_no_crawler(pid):
    assert process_of(pid) is None
    assert crawlers("*").class_of(pid) is ProgramClass.DEFAULT


def test_without_rules_nobody_is_looked_at(monkeypatch):
    monkeypatch.setattr(callers, "process_of", None)
    assert crawlers().class_of(os.getpid()) is ProgramClass.DEFAULT


def test_a_process_that_executes_another_program_changes_its_class(tmp_path):
    program = tmp_path / "bsdtar"
    shutil.copy(shutil.which("sleep"), program)
    callers_seen = CallingPrograms(program_table(None, None))
    line = ["sh", "-c", f"read line; exec {program} 60"]
    running = subprocess.Popen(line, stdin=subprocess.PIPE, text=True)
    try:
        assert callers_seen.class_of(running.pid) is ProgramClass.DEFAULT
        running.stdin.write("\n")
        running.stdin.close()
        deadline = time.monotonic() + 0.8  # less than an answer is cached for
        while callers_seen.class_of(running.pid) is not ProgramClass.ARCHIVER:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        running.kill()
        running.wait()


def test_the_log_tells_of_a_pattern_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    processes = {
        1: Process("tumblerd", "tumblerd"),
        2: Process("baloo_file_extractor", "baloo_file_extr"),
        3: Process("mpv", "mpv"),
    }
    monkeypatch.setattr(callers, "process_of", processes.get)
    programs = crawlers("tumblerd", "baloo_file*")
    found = [programs.class_of(pid) is ProgramClass.CRAWLER for pid in (1, 2, 3) * 3]
    assert found == [True, True, False] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "no audio is fetched for tumblerd: it is a crawler by the rule tumblerd (--crawlers)",
        "no audio is fetched for baloo_file_extr: it is a crawler by the rule baloo_file*"
        " (--crawlers)",
    ]


def test_what_serves_a_filesystem_itself_is_an_archiver_unless_a_rule_says_otherwise(caplog):
    caplog.set_level(logging.INFO)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("there is no FUSE")
    table = ProgramTable((Rule("no-such-program", ProgramClass.CRAWLER),))
    assert CallingPrograms(table).class_of(os.getpid()) is ProgramClass.DEFAULT
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        assert CallingPrograms(table).class_of(os.getpid()) is ProgramClass.ARCHIVER
        named = ProgramTable((Rule("*", ProgramClass.DEFAULT),))
        assert CallingPrograms(named).class_of(os.getpid()) is ProgramClass.DEFAULT
    finally:
        os.close(device)
    assert "(it serves a filesystem itself)" in caplog.text


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_process_that_accepts_tcp_connections_is_a_server(family):
    programs = CallingPrograms(ProgramTable())
    assert not serves_network(os.getpid())
    assert not programs.is_server(GONE)
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip("there is no such network")
        assert not serves_network(os.getpid())
        server.listen()
        with socket.create_connection(server.getsockname()[:2]):
            assert programs.is_server(os.getpid())
    assert not serves_network(os.getpid())
