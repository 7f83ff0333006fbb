"""`histfs play` of clips in a mount: little is imported, and the mount gives the bytes."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from histfs.cli import quick_play
from histfs.cli.play import play
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import command, id_of, mounted

SIZE, RATE = 200_000, 100_000
AUDIO = "GET /v1/history/{id}/audio"
TIMEOUT = 60

#: Requests each clip, and writes the answers' lengths, their bodies and when the first byte came.
PLAYER = """
import json, sys, time, urllib.request
out, *urls = sys.argv[1:]
found = []
for url in urls:
    began = time.monotonic()
    try:
        with urllib.request.urlopen(url) as answer:
            length, content = answer.headers["Content-Length"], answer.read(1)
            first = time.monotonic() - began
            content += answer.read()
    except OSError:
        found.append(None)
        continue
    whole = time.monotonic() - began
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=-9"})) as end:
        last = end.read().hex()
    found.append([length, content.hex(), first, whole, last])
json.dump(found, open(out, "w"))
"""

pytestmark = pytest.mark.fuse


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=6, days=3, clip_bytes=SIZE, conversations=0)) as running:
        yield running


@pytest.fixture
def mount(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, may_log="the server") as mount:
        yield mount


@pytest.fixture
def player(tmp_path):
    (tmp_path / "player.py").write_text(PLAYER)
    return shlex.join([sys.executable, f"{tmp_path}/player.py", f"{tmp_path}/found"])


@pytest.fixture
def start(tmp_path):
    """Run ``histfs play`` without an account: there is none but that of the mount."""

    def start(*arguments, **more):
        env = {**os.environ, "XDG_CONFIG_HOME": f"{tmp_path}/config", **more}
        env.pop("ELEVENLABS_API_KEY", None)
        return subprocess.Popen(
            command("play", *arguments), env=env, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    return start


@pytest.fixture
def do(start):
    def do(*arguments, **more):
        with start(*arguments, **more) as process:
            out, err = process.communicate(timeout=TIMEOUT)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    return do


@pytest.fixture
def found(tmp_path):
    return lambda: json.loads((tmp_path / "found").read_text())


def whole(simulator, item):
    return bytes(simulator.library.clip(id_of(item)))


@pytest.mark.parametrize("chunked", [True, False], ids=["unknown length", "known length"])
def test_clips_of_a_mount_come_as_they_arrive_and_are_fetched_once(
    do, mount, simulator, player, found, chunked
):
    simulator.chunked, simulator.bandwidth = chunked, RATE
    first, second = mount.items()[:2]
    assert do("--player", player, first, f"{second}/audio.mp3") == (0, "", "")
    # The second one may have been read ahead.
    (length, content, began, ended, last), other = found()
    assert (length, bytes.fromhex(content)) == (None, whole(simulator, first))
    assert began < ended - 1
    assert bytes.fromhex(last) == whole(simulator, first)[-9:]
    assert bytes.fromhex(other[1]) == whole(simulator, second)
    assert do("--player", player, first) == (0, "", "")
    ((length, content, *_),) = found()
    assert (length, bytes.fromhex(content)) == (
        str(len(whole(simulator, first))),
        whole(simulator, first),
    )
    assert simulator.counts[AUDIO] <= 6, "none twice"


def test_neither_the_command_line_nor_the_tree_is_imported(mount):
    script = (
        "import json, sys; from histfs.cli import main\n"
        "try: main()\nfinally: print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    line = [sys.executable, "-c", script, "play", "--player", "echo", str(mount.items()[0])]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    loaded = json.loads(done.stdout.splitlines()[-1])
    heavy = {"click", "requests", "sqlite3", "http.server", "histfs.mounting", "histfs.core.errors"}
    assert heavy.intersection(loaded) == set()
    assert "http://127.0.0.1:" in done.stdout


def test_what_is_not_there_is_told_and_ends_the_player_where_nothing_is_left(
    do, mount, player, found, simulator
):
    item = mount.items()[0]
    status, _, err = do("--player", "sh -c 'exec sleep 100'", f"{item}_", f"{item}/audio.xyz.mp3")
    assert status == 1
    assert err.splitlines() == [
        f"histfs: {path}: there is no such path" for path in (f"{item}_", f"{item}/audio.xyz.mp3")
    ]
    assert do("--player", player, f"{item}_", item)[0] == 1
    missing, other = found()
    assert missing is None
    assert bytes.fromhex(other[1]) == whole(simulator, item)


def test_a_clip_that_can_not_be_had_is_told_and_the_next_is_played(
    do, mount, simulator, player, found
):
    first, second = mount.items()[:2]
    simulator.faults.add(Fault(f"/{id_of(first)}/audio", "status", status=500))
    status, _, err = do("--player", player, first, second)
    assert status == 0
    assert err.startswith(f"histfs: {first}: the mount does not give it")
    assert len(err.splitlines()) == 1
    assert found()[0] is None
    assert bytes.fromhex(found()[1][1]) == whole(simulator, second)


def test_a_mount_that_dies_is_told_once_and_counts(start, mount, simulator, tmp_path):
    simulator.bandwidth = RATE / 10
    script = "import sys, urllib.request as r\nfor url in sys.argv[1:]:\n try:\n"
    script += f"  a = r.urlopen(url); a.read(1); open({f'{tmp_path}/began'!r}, 'w'); a.read()\n"
    script += " except Exception: pass"
    first, second = mount.items()[:2]
    player = shlex.join([sys.executable, "-c", script])
    with start("--player", player, first, second) as process:
        eventually((tmp_path / "began").exists)
        mount.kill()
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (69, "")
    assert err.startswith(f"histfs: {first}: the process of the mount has died")
    assert len(err.splitlines()) == 1


def test_an_interrupt_ends_the_player_while_it_waits_for_bytes(start, mount, simulator, tmp_path):
    simulator.faults.add(Fault("/audio", "hang", at_byte=1000))
    script = "import os, pathlib, signal, sys, urllib.request as r\n"
    script += "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    script += f"pathlib.Path({f'{tmp_path}/pid'!r}).write_text(str(os.getpid()))\n"
    script += "r.urlopen(sys.argv[1]).read()"
    player = shlex.join([sys.executable, "-c", script])
    with start("--player", player, mount.items()[0]) as process:
        pid = int(eventually(lambda: (tmp_path / "pid").read_text().strip()))
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=10)[1] == "histfs: interrupted\n"
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_player_does_not_get_the_key(do, mount):
    status, out, _ = do("--player", "sh -c env", mount.items()[0], XI_API_KEY="secret-1")
    assert status == 0
    assert "secret-1" not in out


def test_arguments_are_left_to_the_command_line_unless_they_are_plain(mount, tmp_path, monkeypatch):
    item = str(mount.items()[0])
    for name in ("HISTFS_PLAYER", "HISTFS_CONFIG", "HISTFS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    played = []
    monkeypatch.setattr(
        quick_play, "play_mounted", lambda paths, places, player: played.append(player) or 7
    )
    monkeypatch.setattr(quick_play, "choose_player", lambda given: given)
    for options in ([], ["--player", "x y"], ["--player=x y", "--cache-dir", "/c"], ["--"]):
        assert quick_play.play([*options, item]) == 7
    assert played == ["", "x y", "x y", ""]
    for options in (["--help"], ["--wrong"], ["--timeout", "1"], ["--player"], ["-o", "ro"]):
        assert quick_play.play([*options, item]) is None
    for path in ("by-date", f"{item}/../x*_y_z", str(mount.path / "by-date"), "x_y_z/audio.mp3"):
        assert quick_play.play([item, path]) is None
    (tmp_path / "histfs").mkdir()
    with contextlib.closing((tmp_path / "histfs" / "config.toml").open("w")) as config:
        config.write('player = "mine"\n')
    assert quick_play.play([item]) is None
    assert quick_play.play([item, "--player", "x"]) == 7
    with monkeypatch.context() as inside:
        (tmp_path / "gone").mkdir()
        inside.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert quick_play.play(["x_y_z/audio.mp3", "--player", "x"]) is None
    mount.kill()
    assert quick_play.play([item, "--player", "x"]) is None, "the tree has it"


def test_the_options_that_are_passed_over_take_a_value():
    options = {name: option for option in play.params for name in option.opts}
    assert all(not options[name].is_flag for name in quick_play._OTHERS)
