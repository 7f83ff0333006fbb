"""`histfs play`: real players, and programs in their place, on clips that come slowly."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime, timezone
from urllib.parse import unquote

import pytest

from histfs.cli import players
from histfs.cli.paths import below_mountpoint
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import command, mounted

#: Bytes of a clip, and bytes a second: it takes two seconds.
SIZE, RATE = 200_000, 100_000
AUDIO = "GET /v1/history/{id}/audio"
TIMEOUT = 60

#: A player that writes its arguments, and when bytes of the first one came, into a file.
RECORDER = """
import json, sys, time, urllib.request
out, first, *others = sys.argv[1:]
with urllib.request.urlopen(first) as answer:
    length, content = answer.headers["Content-Length"], answer.read(1)
    began = time.monotonic()
    content += answer.read()
seconds = time.monotonic() - began
seek = urllib.request.Request(first, headers={"Range": "bytes=-1000"})
with urllib.request.urlopen(seek) as answer:
    last = answer.read()
found = {"urls": [first, *others], "length": length, "seconds": seconds,
         "content": content.hex(), "last": last.hex()}
json.dump(found, open(out, "w"))
"""


@pytest.fixture
def simulator():
    """A server with six clips."""
    with Simulator(SimulatorSettings(items=6, days=3, clip_bytes=SIZE, conversations=0)) as running:
        yield running


@pytest.fixture
def start(simulator, tmp_path):
    """Run a command in a process of its own."""

    def start(name, *arguments, **env):
        line = command(
            name, "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache",
            "--timezone", "UTC", *arguments,
        )  # fmt: skip
        given = {"ELEVENLABS_API_KEY": simulator.api_key, **env}
        return subprocess.Popen(
            line, env={**os.environ, **given}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


@pytest.fixture
def do(start):
    """Run a command to its end."""

    def do(name, *arguments, **env):
        with start(name, *arguments, **env) as process:
            out, err = process.communicate(timeout=TIMEOUT)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    return do


@pytest.fixture
def names(run, simulator, tmp_path):
    """Return the names in a directory of the tree, in the order of ``histfs ls``."""
    place = ["--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache"]

    def names(path):
        done = run("ls", path, *place, "--timezone", "UTC", key=simulator.api_key)
        assert done.status == 0, done.err
        return done.out.splitlines()

    return names


@pytest.fixture
def item(names, simulator):
    """The path of the newest item."""
    newest = max(simulator.library.item(i)["date_unix"] for i in simulator.library.ids())
    day = f"{datetime.fromtimestamp(newest, timezone.utc):by-date/%Y/%m/%d}"
    return f"{day}/{names(day)[-1]}"


def needs(program):
    if shutil.which(program) is None and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip(f"{program} is not installed")


def id_of(path):
    return path.rpartition("/")[2].split("_", 2)[2]


@pytest.mark.parametrize("chunked", [True, False], ids=["unknown length", "known length"])
def test_a_player_gets_the_first_byte_long_before_the_last_and_can_seek_in_the_whole(
    do, simulator, item, tmp_path, chunked
):
    simulator.chunked, simulator.bandwidth = chunked, RATE
    (tmp_path / "player.py").write_text(RECORDER)
    player = shlex.join([sys.executable, f"{tmp_path}/player.py", f"{tmp_path}/found"])
    assert do("play", "--player", player, item) == (0, "", "")
    found = json.loads((tmp_path / "found").read_text())
    whole = bytes(simulator.library.clip(id_of(item)))
    assert found["seconds"] > 1
    assert (found["length"], bytes.fromhex(found["content"])) == (None, whole)
    assert bytes.fromhex(found["last"]) == whole[-1000:]
    (url,) = found["urls"]
    host, port = re.match(r"http://([\d.]+):(\d+)/[\w-]{20,}/0/[\w-]+$", url).groups()
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    assert simulator.counts[AUDIO] == 1


def test_mpv_plays_directories_of_links_in_the_order_of_names(do, names, simulator):
    needs("mpv")
    voices = [f"by-voice/{voice}" for voice in names("by-voice")]
    items = [name for voice in voices for name in sorted(names(voice))]
    player = "mpv --no-config --no-video --ao=null --length=0.1"
    status, out, _ = do("play", *voices, HISTFS_PLAYER=player)
    assert status == 0
    played = re.findall(r"Playing: http://[^/]+/[^/]+/\d+/(\S+)\.\w+", out)
    assert [unquote(name) for name in played] == items
    assert len(items) == simulator.counts[AUDIO] == 6


def test_mpv_plays_a_clip_to_its_last_frame_as_it_comes(do, simulator, item):
    needs("mpv")
    simulator.bandwidth = RATE
    # As fast as it comes, through the decoder.
    player = "mpv --no-config --no-video --ao=null --untimed --ao-null-untimed --no-terminal"
    began = time.monotonic()
    assert do("play", "--player", player, f"{item}/audio.mp3") == (0, "", "")
    assert time.monotonic() - began > 1.5


def test_ffmpeg_gets_the_same_frames_as_from_the_file(do, simulator, item, tmp_path):
    needs("ffmpeg")
    simulator.bandwidth = RATE
    (tmp_path / "clip.mp3").write_bytes(bytes(simulator.library.clip(id_of(item))))
    ffmpeg = 'ffmpeg -nostdin -v error -i "$0" -f md5 -'
    there = subprocess.run(
        ["sh", "-c", ffmpeg, tmp_path / "clip.mp3"], capture_output=True, text=True, check=True
    )
    assert do("play", "--player", f"sh -c '{ffmpeg}'", item) == (0, there.stdout, "")


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)]
)
def test_the_status_is_that_of_the_player(do, item, script, status):
    assert do("play", "--player", f"sh -c '{script}'", item) == (status, "", "")


def test_a_path_that_fails_keeps_no_other_from_being_played_and_counts(do, item):
    status, out, err = do("play", "--player", "echo", "by-date/1999", item, f"{item}/text.txt/x")
    assert status == 1
    assert len(out.split()) == 1
    first, second = err.splitlines()
    assert first == "histfs: by-date/1999: there is no such path"
    assert "nothing below a file" in second
    status, out, err = do("play", "--player", "echo", "search")
    assert (status, out) == (1, "")
    assert err == "histfs: search: there is no audio in it\n"


def test_the_player_of_an_item_that_is_not_there_is_ended_at_once(do, simulator, item, tmp_path):
    (tmp_path / "player").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 100\n")
    (tmp_path / "player").chmod(0o755)
    missing = f"{item[:-1]}_"
    status, out, err = do("play", "--player", tmp_path / "player", missing, f"{missing}/audio.mp3")
    assert (status, out) == (1, "")
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == ["there is no such path"] * 2
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    script = "import sys, urllib.request as r\nprint(len(r.urlopen(sys.argv[2]).read()))"
    player = shlex.join([sys.executable, "-c", script])
    status, out, err = do("play", "--player", player, missing, item)
    whole = simulator.library.clip(id_of(item))
    assert (status, int(out)) == (1, len(whole)), "the one that is there is played"


def test_the_player_of_one_clip_starts_while_the_tree_is_opened(start, simulator, item, tmp_path):
    simulator.faults.add(Fault("/v1/history", "hang"))
    script = "import pathlib, sys, urllib.request\n"
    script += f"pathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
    script += "urllib.request.urlopen(sys.argv[1])\n"
    player = shlex.join([sys.executable, "-c", script])
    unknown = ("--cache-dir", tmp_path / "other")
    with start("play", *unknown, "--player", player, item) as process:
        eventually((tmp_path / "began").exists)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=TIMEOUT)[0] == ""
    assert simulator.counts[AUDIO] == 0


def test_a_player_that_is_not_there_is_an_error(do, item, tmp_path):
    for player in ("no-such-player --x", "'"):
        status, _, err = do("play", "--player", player, item)
        assert (status, len(err.splitlines())) == (2, 1)
    status, _, err = do("play", item, PATH=str(tmp_path))
    assert (status, len(err.splitlines())) == (69, 1)
    assert "mpv" in err


def test_a_clip_that_can_not_be_had_is_told_beside_the_player(do, simulator, item):
    simulator.faults.add(Fault("/audio", "status", status=500))
    script = "import sys, urllib.request\ntry: urllib.request.urlopen(sys.argv[1])\n"
    player = shlex.join([sys.executable, "-c", f"{script}except OSError: sys.exit(5)"])
    status, _, err = do("play", "--player", player, item)
    assert status == 5
    assert err.startswith(f"histfs: {item}/audio.mp3: ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_player_too(start, item, tmp_path, number, status):
    (tmp_path / "player").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 100\n")
    (tmp_path / "player").chmod(0o755)
    process = start("play", "--player", tmp_path / "player", item)
    pid = int(eventually((tmp_path / "pid").read_text))
    with process:
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT)
    # Python ends itself by the signal where that interrupts some imports: 130 for a shell.
    assert process.returncode in (status, -number)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_signal_that_another_thread_gets_ends_the_player_at_once(monkeypatch):
    monkeypatch.setattr(players, "_END_TIMEOUT", 0.1)

    def send():
        time.sleep(0.5)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    began = time.monotonic()
    with pytest.raises(SystemExit, match="143"):
        players.choose_player("sleep 30").play([], "")
    assert time.monotonic() - began < 10
    thread.join()


def test_the_first_clip_is_fetched_while_the_player_starts(do, simulator):
    assert do("play", "--player", "sh -c 'sleep 2'", "by-date")[0] == 0
    assert simulator.counts[AUDIO] == 1


def test_the_player_does_not_get_the_key(do, item, simulator):
    status, out, _ = do("play", "--player", "sh -c env", item)
    assert status == 0
    assert simulator.api_key not in out


@pytest.mark.parametrize("then", ["", "exec sleep 30"], ids=["returns", "stays"])
def test_a_browser_gets_a_page_until_the_user_has_enough(start, item, tmp_path, then):
    (tmp_path / "xdg-open").write_text(f"#!/bin/sh\necho $1 > {tmp_path}/url\n{then}\n")
    (tmp_path / "xdg-open").chmod(0o755)
    process = start("play", "--player", tmp_path / "xdg-open", item)
    url = eventually(lambda: (tmp_path / "url").read_text().strip())
    with urllib.request.urlopen(url) as page:
        assert f"{id_of(item)}.mp3" in page.read().decode()
    with process:
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=TIMEOUT)[1] == ""
    assert process.returncode == 0


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_path_in_a_mount_is_that_of_the_tree(simulator, tmp_path, binding, monkeypatch):
    with mounted(simulator, tmp_path, binding) as mount:
        item = mount.items()[0]
        below = str(item.relative_to(mount.path))
        assert below_mountpoint(str(item)) == below
        assert below_mountpoint(below) == below
        (tmp_path / "link").symlink_to(mount.path)
        assert below_mountpoint(f"{tmp_path}/link/{below}") == below
        assert below_mountpoint(f"{mount.path}/by-voice/A*") == "by-voice/A*"
        with monkeypatch.context() as inside:
            inside.chdir(item.parent)
            assert below_mountpoint(item.name) == below
