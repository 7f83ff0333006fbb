"""An error is one line and an exit status (sysexits.h)."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import zoneinfo

import pytest

from histfs.simulator import Fault
from tests.cli.conftest import KEY


@pytest.fixture
def closed_port():
    """The URL of a port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


# The key


def test_no_key_says_where_to_put_one(run, place):
    done = run("mount", "-f", place, key=None)
    assert done.status == 77
    for hint in ("https://elevenlabs.io/", "histfs login", "ELEVENLABS_API_KEY", "--demo"):
        assert hint in done.line
    assert "--api-key-file" in done.line


@pytest.mark.parametrize(
    "command",
    [["ls"], ["cat", "x"], ["play", "x"], ["rm", "x"], ["purge", "x"], ["sync"],
     ["cache", "verify"]],
)  # fmt: skip
def test_every_command_without_a_key_says_the_same(run, command):
    done = run(*command, key=None)
    assert done.status == 77
    assert "histfs login" in done.line


@pytest.mark.parametrize("command", [["mount", "-f", "mnt"], ["ls"], ["sync"]])
def test_a_wrong_key_leaves_no_cache(run, place, server, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "home" / "histfs"
    (tmp_path / "home").mkdir()
    asked = ["--base-url", server.base_url]
    done = run(*command, *asked, key="sk_wrong", XDG_CACHE_HOME=str(tmp_path / "home"))
    assert done.status == 77
    assert not cache.exists()
    # That of a key that lacks a permission stays, and so does one in which something is known.
    run("ls", *asked, XDG_CACHE_HOME=str(tmp_path / "home"))
    (account,) = cache.iterdir()
    server.faults.add(Fault("GET", "status", status=401, body={"detail": "Invalid API key"}))
    assert run("sync", *asked, XDG_CACHE_HOME=str(tmp_path / "home")).status == 77
    assert (account / "catalog.sqlite").exists()


@pytest.mark.parametrize(
    ("content", "number", "setting", "message"),
    [
        ("connections = 0", 1, "connections", "not a whole number"),
        (
            "\n# a comment\nconnections = 'eight'",
            3,
            "connections",
            "not a whole number",
        ),
        ("audio-cache-size = 'much'", 1, "audio-cache-size", "not a size"),
        ("audio_cache_size = 20", 1, "audio-cache-size", "20G"),
        ("rescan = 'soon'", 1, "rescan", "not a time"),
        ("sizes = 'wrong'", 1, "sizes", "'estimate', 'exact'"),
        ("cache-dir = 'here'", 1, "cache-dir", "relative path"),
        ("api-key-file = 'key'", 1, "api-key-file", "relative path"),
        ("trash = '~nobody-of-this-name/x'", 1, "trash", "relative path"),
        ("options = 'wrong'", 1, "options", "-o wrong is not known"),
        ("base-url = 'api.example.com'", 1, "base-url", "not a base URL"),
        ("timezone = 'Mars/Base'", 1, "timezone", "'Mars/Base' is not known"),
        ("views = 'by-vioce'", 1, "views", "no view 'by-vioce'"),
        ("[profiles.work]\ntimeout = 'x'", 2, "timeout", "not a time such as"),
        ("[profiles.work]\nconections = 5", 2, "conections", "did you mean connections?"),
    ],
)
def test_a_wrong_value_in_the_file_is_named_with_file_and_line(
    run, place, server, tmp_path, content, number, setting, message
):
    file = tmp_path / "config.toml"
    file.write_text(f"{content}\n")
    profile = ["--profile", "work"] if "profiles" in content else []
    url = [] if "base-url" in content else ["--base-url", server.base_url]
    done = run("mount", "-f", place, "--config", file, *profile, *url)
    assert done.status == 78
    assert done.line.startswith(f"histfs: {file}:{number}: ")
    assert setting in done.line
    assert message in done.line


def test_a_wrong_variable_is_named(run, place):
    done = run("mount", "-f", place, HISTFS_CONNECTIONS="0")
    assert (done.status, done.line.startswith("histfs: HISTFS_CONNECTIONS: ")) == (2, True)


def test_a_home_directory_in_the_file_is_expanded(run, place, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("api-key-file = '~/no-such-key'\n")
    done = run("mount", "-f", place, "--config", file, HOME=str(tmp_path))
    assert f"{tmp_path}/no-such-key" in done.line


def test_a_key_in_the_file_is_answered_with_where_it_belongs(run, place, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(f"api_key = '{KEY}'\n")
    done = run("mount", "-f", place, "--config", file)
    assert done.status == 78
    assert "histfs login" in done.line
    assert "api-key-file" in done.line


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 77, "empty"),
        (b" \n\n", 77, "empty"),
        (None, 78, "No such file"),
        ("directory", 78, "is a directory"),
        (b"\xff\xfe\x00", 78, "not text"),
        (f"{KEY} {KEY}\n".encode(), 78, "one word"),
        (f"{KEY}\x00".encode(), 78, "one word"),
        (f"ключ{KEY}".encode(), 78, "one word"),
    ],
    ids=["empty", "blank", "missing", "directory", "binary", "two words", "control", "not ASCII"],
)
def test_a_key_file_without_a_key_is_named_with_the_reason(
    run, place, tmp_path, content, status, message
):
    file = tmp_path / "key"
    if content == "directory":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    done = run("mount", "-f", place, "--api-key-file", file)
    assert done.status == status
    assert str(file) in done.line
    assert message in done.line


def test_a_key_file_that_can_not_be_read_says_why(run, place, tmp_path):
    # Not a matter of permissions: root, who often runs the tests, has them all.
    (tmp_path / "file").write_text(KEY)
    done = run("mount", "-f", place, "--api-key-file", tmp_path / "file" / "key")
    assert "Not a directory" in done.line


def test_an_empty_key_in_the_environment_is_none(run, place):
    done = run("mount", "-f", place, key="")
    assert done.status == 77
    assert "ELEVENLABS_API_KEY" in done.line


def test_systemds_credentials_are_tried_before_the_environment(run, place, tmp_path):
    (tmp_path / "elevenlabs-api-key").write_text("")
    done = run("mount", "-f", place, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert done.status == 77
    assert str(tmp_path) in done.line


# The server


@pytest.mark.parametrize(
    ("key", "message"),
    [("sk_wrong", "Invalid API key"), ("writer", "missing the permission speech_history_read")],
    ids=["wrong", "without the permission"],
)
def test_a_key_that_the_server_refuses_comes_with_its_reason(run, place, server, key, message):
    done = run("mount", "-f", place, "--base-url", server.base_url, key=key)
    assert done.status == 77
    assert message in done.line
    assert key not in done.err or key == "writer"


def test_a_missing_permission_is_not_called_a_wrong_key(run, place, server):
    done = run("mount", "-f", place, "--base-url", server.base_url, key="writer")
    assert "check the key" not in done.line
    assert "give the key this permission" in done.line


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        (Fault("GET", "html"), 69, "not JSON (text/html"),
        (Fault("GET", "garbage"), 69, "not JSON"),
        (Fault("GET", "status", status=500, body={"detail": "Oh no"}), 69, "Oh no"),
        (Fault("GET", "status", status=404), 69, "no history at this address"),
        (Fault("GET", "status", status=429), 75, "try again in a minute"),
        (Fault("GET", "status", status=401, body={"detail": f"{KEY}\nis bad"}), 77, "*** is bad"),
        (Fault("GET", "status", status=400, body={"detail": "\x1b[2J" * 999}), 69, "[2J"),
        (Fault("GET", "redirect", headers={"Location": "https://a.example/"}), 69, "a.example"),
        (Fault("GET", "hang"), 69, "did not answer in time"),
        (Fault("GET", "status", status=200, body=[[]]), 69, "not an object"),
        (Fault("GET", "status", status=200, body="[" * 100_000), 69, "not JSON"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_server_that_is_not_the_api_or_not_well_is_told_in_one_line(
    run, place, server, monkeypatch, fault, status, message
):
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda seconds: None)
    server.faults.add(fault)
    done = run("mount", "-f", place, "--base-url", server.base_url, "--timeout", "1")
    assert done.status == status
    assert message in done.line
    assert done.line.isprintable()


def test_a_server_that_can_not_be_reached_is_told_in_one_line(run, place, closed_port):
    done = run("mount", "-f", place, "--base-url", closed_port, "--timeout", "1")
    assert done.status == 69
    assert "Connection refused" in done.line
    assert "--base-url" in done.line


# The command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "nonsense"], "-o nonsense"),
        (["-o", "ro,umask=999"], "-o umask=999"),
        (["-o", "uid=me"], "-o uid=me"),
        (["-o", "uid=-1"], "-o uid=-1"),
        (["-o", "placement=both"], "links, dir"),
        (["-o", "auto_unmount"], "-o auto_unmount is refused"),
        (["-o", "direct_io"], "-o direct_io is refused"),
        (["-o", "intr"], "-o intr is refused"),
        (["-o", "ro=1"], "-o ro=1"),
        (["--audio-cache-size", "much"], "'much' is not a size"),
        (["--audio-cache-size", "-1"], "'-1' is not a size"),
        (["--audio-cache-size", "9" * 400], "more than any disk"),
        (["--base-url", "api.elevenlabs.io"], "is not a base URL"),
        (["--base-url", "ftp://x"], "is not a base URL"),
        (["--base-url", "https://x/?a=b"], "is not a base URL"),
        (["--base-url", "https://[x"], "is not a base URL"),
        (["--base-url", f"https://{KEY}@x"], "is not a base URL"),
        (["--timezone", "Mars/Base"], "'Mars/Base' is not known"),
        (["--timezone", "Europe/Berln"], "did you mean Europe/Berlin?"),
        (["--timezone", "../../etc/passwd"], "is not known"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_setting_that_can_not_be_used_is_named(run, place, arguments, message):
    done = run("mount", "-f", place, *arguments)
    assert done.status == 2
    assert message in done.line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["mount"],
        ["mount", "a", "b"],
        ["mount", "a", "--nonsense"],
        ["mount", "a", "--connections", "0"],
        ["mount", "a", "--timeout", "soon"],
        ["mount", "a", "--sizes", "wrong"],
        ["umount"],
        ["sync", "a"],
        ["sync", "--read-only"],
        ["status", "a", "b"],
        ["simulate", "--port", "99999"],
        ["simulate", "--newest", "yesterday"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(run, arguments):
    done = run(*arguments)
    assert done.status == 2
    assert "--help" in done.out + done.err


@pytest.mark.parametrize("arguments", [["nonsense"], ["mount"], ["mount", "a", "--timeout", "x"]])
def test_wrong_usage_is_told_in_one_line(run, arguments):
    assert run(*arguments).line.startswith("histfs: ")


# The configuration file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"listing_ttl = ", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"colour = 'red'", "colour is not a setting"),
        (b"api_key = 'x'", "api_key is not a setting"),
        (None, "No such file"),
    ],
    ids=str,
)
def test_a_bad_configuration_file_is_named(run, place, tmp_path, content, message):
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)
    done = run("mount", "-f", place, "--config", file)
    assert done.status == 78
    assert message in done.line


@pytest.mark.parametrize(
    "line",
    ["listing_ttl = [1]", "timeout = {a = 1}", "connections = 'eight'", "connections = [8]",
     "read_only = 5", "read_only = 'perhaps'", "sizes = 5", "api_key_file = [5]", "cache_dir = [5]",
     "timezone = 5", "base_url = 5", "options = 5", "listing_ttl = 1979-05-27",
     "timeout = nan"],
)  # fmt: skip
def test_a_setting_of_the_wrong_kind_in_the_file_is_one_line(
    run, place, tmp_path, closed_port, line
):
    file = tmp_path / "config.toml"
    file.write_text(f"{line}\n")
    url = [] if line.startswith("base_url") else ["--base-url", closed_port]
    done = run("mount", "-f", place, "--config", file, *url, HISTFS_CACHE_DIR="")
    assert done.status in (2, 78)
    assert done.line.startswith("histfs: ")


@pytest.mark.parametrize("options", ['["ro", "placement=both"]', '"ro,placement=both"'])
def test_mount_options_may_stand_in_the_file_as_one_text_or_as_a_list(
    run, place, tmp_path, options
):
    file = tmp_path / "config.toml"
    file.write_text(f"options = {options}\n")
    assert "-o placement=both" in run("mount", "-f", place, "--config", file).line


def test_flags_go_before_the_environment_and_that_before_the_file(run, place, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("audio-cache-size = 'file'\n")

    def message(*arguments, **env):
        return run("mount", "-f", place, "--config", file, *arguments, **env).line

    assert "'file' is not a size" in message()
    assert "'environment' is not a size" in message(HISTFS_AUDIO_CACHE_SIZE="environment")
    assert "'flag' is not a size" in message("--audio-cache-size", "flag")


# The mountpoint and the cache


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "mkdir -p"), ("file", "is not a directory"), ("full", "is not empty")],
)
def test_a_mountpoint_that_can_not_be_used_says_why(run, tmp_path, closed_port, name, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "full" / "inside").mkdir(parents=True)
    done = run("mount", "-f", tmp_path / name, "--base-url", closed_port)
    assert done.status == 2
    assert message in done.line
    assert str(tmp_path / name) in done.line


@pytest.mark.skipif(
    importlib.util.find_spec("tzdata") is not None, reason="PyPI's tzdata has them, too"
)
def test_a_machine_without_time_zones_is_told_what_to_install(run, place, server, tmp_path):
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        arguments = ("--base-url", server.base_url, "--timezone", "Europe/Vaduz")
        done = run("mount", "-f", place, *arguments)
    finally:
        zoneinfo.reset_tzpath()
    assert done.status == 2
    assert "apt install tzdata" in done.line


def test_a_cache_that_can_not_be_made_is_named(run, place, tmp_path, server):
    (tmp_path / "file").write_text("")
    cache = tmp_path / "file" / "cache"
    done = run("mount", "-f", place, "--base-url", server.base_url, "--cache-dir", cache)
    assert done.status == 78
    assert str(cache) in done.line


@pytest.mark.parametrize("name", ["missing", "mnt"])
def test_unmounting_what_is_no_histfs_is_refused(run, place, name):
    done = run("umount", place.parent / name)
    assert done.status == 2
    assert "no histfs is mounted" in done.line


def test_a_fuse_library_that_does_not_exist_is_told(run, place):
    done = run("mount", "-f", place, HISTFS_FUSE="nonsense")
    assert done.status == 69
    assert "nonsense" in done.line


def test_a_port_that_is_taken_is_told(spawn):
    # In a process of its own, because it blocks signals in the one that it runs in.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = spawn("simulate", "--port", taken.getsockname()[1])
    assert done.status == 75
    assert os.strerror(errno.EADDRINUSE) in done.line
    assert "another --port" in done.line
