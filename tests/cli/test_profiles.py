"""Several accounts: profiles in the configuration file, one of them or several in a mount."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from histfs.status import Status
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

DELETE, AUDIO = "DELETE /v1/history/{id}", "GET /v1/history/{id}/audio"


@pytest.fixture
def config(tmp_path):
    """Write a configuration file."""

    def write(text):
        file = tmp_path / "config.toml"
        file.write_text(text)
        return file

    return write


@pytest.fixture
def profile(tmp_path):
    """Return the table of a profile, with a key file of its own, or a key command."""

    def table(name, server, key=None, more=""):
        file = tmp_path / f"key-{name}"
        file.write_text(key or server.api_key)
        file.chmod(0o600)
        url = f'base-url = "{server.base_url}"\n'
        return f'[profiles.{name}]\n{url}api-key-file = "{file}"\n{more}\n'

    return table


@pytest.fixture
def servers():
    """The server of work, and that of home."""
    work = SimulatorSettings(items=5, seed=1, api_key="key-work", conversations=2)
    home = SimulatorSettings(items=3, seed=2, api_key="key-home")
    with Simulator(work) as first, Simulator(home) as second:
        yield first, second


# One profile


def test_a_profile_counts_more_than_the_top_and_less_than_the_environment(run, place, config):
    file = config(
        "audio-cache-size = 'top'\nrescan = 'top'\n[profiles.work]\naudio_cache_size = 'work'\n"
    )

    def message(*arguments, **env):
        return run("mount", "-f", place, "--config", file, *arguments, **env).line

    assert "'work' is not a size" in message("--profile", "work", "--rescan", "1")
    assert "'work' is not a size" in message("--rescan", "1", HISTFS_PROFILE="work")
    assert "'top' is not a time" in message("--profile", "work", "--audio-cache-size", "1M")
    assert "'env' is not a size" in message(
        "--profile", "work", "--rescan", "1", HISTFS_AUDIO_CACHE_SIZE="env"
    )


def test_the_profile_may_be_given_before_the_file_that_has_it(run, place, config):
    file = config("[profiles.work]\ntimeout = 'x'\n")
    arguments = ["--profile", "work", "--config", file]
    assert "'x' is not a time" in run("mount", "-f", place, *arguments).line


@pytest.mark.parametrize(
    "command", [["mount", "mnt"], ["sync"], ["doctor"], ["cache", "verify"], ["trash", "list"]]
)
def test_an_unknown_profile_is_one_line_with_those_there_are(run, config, command):
    file = config("[profiles.work]\n[profiles.home]\n")
    done = run(*command, "--config", file, "--profile", "away")
    assert done.status == 2
    told = f"histfs: there is no profile 'away': {file} has work, home;"
    assert done.line == f"{told} histfs config edit adds [profiles.away]"


def test_a_profile_takes_its_own_key_before_the_variable(run, place, config):
    file = config(
        """
        api-key-file = "/nowhere/top"
        [profiles.work]
        api-key-command = "false"
        [profiles.home]
        """
    )
    arguments = ["mount", "-f", place, "--config", file]
    assert "the command false" in run(*arguments, "--profile", "work").line
    assert "/nowhere/top" in run(*arguments, "--profile", "home").line
    flag = ["--api-key-file", "/nowhere/flag"]
    assert "/nowhere/flag" in run(*arguments, "--profile", "work", *flag).line


def test_a_profile_without_a_key_takes_the_variable(run, config):
    file = config("[profiles.work]\nbase-url = 'https://127.0.0.1:1'\n")
    done = run("doctor", "--json", "--config", file, "--profile", "work")
    key = next(c for c in json.loads(done.out)["checks"] if c["check"] == "key")
    assert (key["level"], key["said"]) == ("ok", "from the variable ELEVENLABS_API_KEY")


def test_a_trash_that_a_profile_names_is_that_of_the_profile(run, config, tmp_path):
    file = config(f"[profiles.work]\ntrash = '{tmp_path / 'file'}'\n")
    (tmp_path / "file").write_text("no directory")
    done = run("trash", "list", "--config", file, "--profile", "work")
    assert str(tmp_path / "file") in done.line
    assert run("trash", "list", "--config", file).out == ""


# Several profiles


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (["--profiles", "work,away"], {}, "there is no profile 'away'"),
        (["--profiles", "work,"], {}, "commas between them"),
        (["--profiles", "work", "--profile", "home"], {}, "exclude each other"),
        (["--profiles", "work"], {"HISTFS_PROFILE": "home"}, "exclude each other"),
        (["--profiles", "work,home", "--demo"], {}, "leave --profiles out"),
        (["--profiles", "work,bare"], {}, "the profile bare?"),
        (["--profiles", "work,home", "--api-key-file", "x"], {}, "the profile work?"),
        (["--profiles", "work,home"], {"HISTFS_API_KEY_COMMAND": "x"}, "the profile work?"),
        (["--profiles", "work,safe"], {}, "profiles work and safe differ in -o"),
        (["--profiles", "work,exact"], {}, "differ in --sizes"),
    ],
)
def test_what_can_not_be_mounted_side_by_side_is_one_line(
    run, place, config, profile, server, arguments, env, message
):
    file = config(
        profile("work", server)
        + profile("home", server)
        + profile("safe", server, more="read-only = true")
        + profile("exact", server, more="sizes = 'exact'")
        + "[profiles.bare]\n"
    )
    done = run("mount", place, "--config", file, *arguments, **env)
    assert done.status == 2
    assert message in done.line


@pytest.mark.fuse
def test_each_profile_has_a_folder_with_its_own_history_key_and_views(
    servers, tmp_path, binding, config, profile, run
):
    work, home = servers
    file = config(
        profile("work", work, more="views = 'by-day+by-model'\nsources.use = 'history'")
        + profile("home", home)
    )
    arguments = ["--config", file, "--profiles", "work,home"]
    with mounted(None, tmp_path, binding, *arguments) as mount:
        assert os.listdir(mount.path) == ["work", "home"]
        assert os.listdir(mount.path / "work") == ["by-day", "by-model"]
        assert {"by-date", "by-voice", "conversations"} <= set(os.listdir(mount.path / "home"))
        days = sorted((mount.path / "work" / "by-day").glob("*/*"))
        assert {id_of(day) for day in days} == set(work.library.ids())
        linked = next((mount.path / "work" / "by-model").glob("*/*"))
        assert linked.is_symlink()
        assert linked.resolve() in days
        dates = list((mount.path / "home" / "by-date").glob("*/*/*/*"))
        assert {id_of(date) for date in dates} == set(home.library.ids())
        shutil.rmtree(dates[0])
        assert len(list((mount.path / "home" / "by-date").glob("*/*/*/*"))) == 2
        status = Status.from_json((mount.path / ".histfs").read_bytes())
        reported = run("status", mount.path).out
        assert "elevenlabs:work+home" in Path("/proc/self/mounts").read_text()
    assert (work.counts[DELETE], home.counts[DELETE]) == (0, 1)
    assert (status.account.profile, status.account.base_url) == ("work", work.base_url)
    assert [other.account.profile for other in status.others] == ["home"]
    assert (status.items, status.others[0].items) == (5, 2)
    assert f"account        home, {home.base_url}" in reported


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_an_account_that_can_not_be_listed_leaves_the_others_their_folders(
    servers, tmp_path, binding, config, profile
):
    work, home = servers
    file = config(profile("work", work) + profile("home", home, key="wrong"))
    arguments = ["--config", file, "--profiles", "home,work"]
    with mounted(None, tmp_path, binding, *arguments) as mount:
        assert len(list((mount.path / "work" / "by-date").glob("*/*/*/*"))) == 5
        assert os.listdir(mount.path) == ["home", "work"]
        for folder in ("home", "home/by-date"):
            with pytest.raises(PermissionError):
                os.listdir(mount.path / folder)
        log = mount.log.read_text()
    assert "home: the server says: Invalid API key" in log


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_an_account_whose_server_fails_has_its_folder_when_it_is_back(
    servers, tmp_path, binding, config, profile
):
    work, home = servers
    file = config(profile("work", work) + profile("home", home))
    home.faults.add(Fault("GET", "status"))
    arguments = ["--config", file, "--profiles", "work,home", "--timeout", "2"]
    with mounted(None, tmp_path, binding, *arguments) as mount:
        with pytest.raises(OSError) as caught:
            os.listdir(mount.path / "home")
        assert caught.value.errno == errno.EIO
        home.faults.clear()
        assert "by-date" in eventually(lambda: os.listdir(mount.path / "home"))


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_two_profiles_may_show_one_account(servers, tmp_path, binding, config, profile):
    work, _ = servers
    file = config(profile("all", work) + profile("days", work, more="views = 'by-day'"))
    arguments = ["--config", file, "--profiles", "all,days"]
    with mounted(None, tmp_path, binding, *arguments) as mount:
        items = list((mount.path / "all" / "by-date").glob("*/*/*/*"))
        clips = {next(item.glob("audio.[!s]*")): item.name for item in items}
        contents = {clip: clip.read_bytes() for clip in clips}
        eventually(lambda: len(list((tmp_path / "cache").glob("*/audio/*/*"))) == 5)
        fetched = work.counts[AUDIO]
        for clip, name in clips.items():
            same = next((mount.path / "days" / "by-day").glob(f"*/{name}")) / clip.name
            assert same.read_bytes() == contents[clip]
            assert same.stat().st_ino != clip.stat().st_ino
        assert work.counts[AUDIO] == fetched == 5
        shutil.rmtree(items[0])
        left = {path.name for path in (mount.path / "days" / "by-day").glob("*/*")}
        assert left == {item.name for item in items[1:]}
