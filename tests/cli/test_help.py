"""What ``--help`` and ``--version`` print, and what they load for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click
import pytest

from histfs import __version__
from histfs.cli import COMMANDS
from histfs.cli.command_group import histfs

#: Each command, and what a user must find in its help.
WORDS = {
    "fetch": ["PATH…", "--connections", "histfs fetch by-voice/Rachel"],
    "pin": ["PATH…", "--audio-cache-size", "histfs unpin"],
    "refresh": ["[PATH…]", "histfs refresh by-date"],
    "unpin": ["PATH…"],
    "watch": ["--json", "--listing-ttl", "histfs watch"],
    "": [*COMMANDS, "deletes the item"],
    "mount": [
        "MOUNTPOINT", "histfs umount", "ELEVENLABS_API_KEY", "--api-key-file", "--read-only",
        "--api-key-command", "--insecure-http", "--demo", "--foreground", "--base-url",
        "--cache-dir", "--audio-cache-size", "--listing-ttl", "--timezone", "--sizes", "--timeout",
        "--config", "placement=", "--views", "--files", "--sources", "views=", "--profile NAME",
        "--profiles NAME", "umask", "deletes the item",
    ],
    "umount": ["MOUNTPOINT", "--lazy"],
    "config": ["show", "edit", "path"],
    "config show": ["--json", "--profile NAME", "Keys are not shown", "--audio-cache-size"],
    "login": ["--profile NAME", "--region", "without echo", "keyring", "Nothing else is set"],
    "logout": ["--profile NAME", "stays valid"],
    "sync": [
        "--audio ", "--base-url", "--api-key-file", "--cache-dir", "--audio-cache-size",
        "--connections", "--rescan", "--timeout", "--config", "Ctrl-C",
    ],
    "status": ["[MOUNTPOINT]", "--json"],
    "doctor": ["[MOUNTPOINT]", "--json", "--trash", "--cache-dir", "Nothing is changed"],
    "cache": ["verify"],
    "cache verify": [
        "--json", "--base-url", "--api-key-file", "--cache-dir", "--config", "are removed",
    ],
    "ls": ["[PATH]…", "--long", "--json", "--listing-ttl", "--timezone", "--views", "jq"],
    "cat": ["PATH…", "--cache-dir", "--timeout"],
    "page": ["PATH…", "-o, --output FILE", "--root", "histfs page ~/history/by-voice/Rachel"],
    "play": ["PATH…", "--player", "HISTFS_PLAYER", "--timeout", "by-voice/Rachel"],
    "rm": ["PATH…", "--verbose", "--trash", "--no-trash", "--read-only", "A copy"],
    "purge": ["[ITEM]…", "--caller", "--local", "--dry-run", "--yes", "--trash", "for good"],
    "export": ["DEST", "--verify", "--format", "--since", "--json", "s3://", "Ctrl-C", "deleted"],
    "table": ["DEST", "--format", "parquet", "--since", "--json", "--cache-dir", "have changed"],
    "plugins": ["--json", "No key"],
    "serve": [
        "--bind", "--port", "--delete", "--sizes", "--token-file", "--tls-cert", "read-only",
        "Ctrl-C", "HISTFS_SERVE_PASSWORD", "HISTFS_SERVE_TOKEN", "rclone",
    ],
    "simulate": ["--port", "--items", "--latency", "Ctrl-C"],
    "trash": ["list", "show", "export", "empty"],
}  # fmt: skip


@pytest.mark.parametrize("argument", ["--version", "-V", "version"])
def test_the_version_is_printed(run, argument):
    done = run(argument)
    assert (done.status, done.out, done.err) == (0, f"histfs {__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["mount"], ["trash", "list"], ["umount"]])
def test_help_is_a_command_too(run, command):
    assert run("help", *command) == run(*command, "--help")


def test_help_of_what_is_no_command_is_wrong_usage(run):
    for names in (["nonsense"], ["mount", "nonsense"], ["trash", "nonsense"]):
        done = run("help", *names)
        assert (done.status, "No such command 'nonsense'" in done.line) == (2, True)


def test_the_commands_of_a_group_are_listed_with_whole_sentences(run):
    for group in ("trash", "cache"):
        table = run(group, "--help").out.partition("Commands:")[2]
        assert table.count(".") >= 1
        assert "..." not in table


@pytest.mark.parametrize(("typed", "meant"), [("mnt", "mount"), ("stauts", "status")])
def test_a_command_that_is_mistyped_is_answered_with_the_nearest(run, typed, meant):
    done = run(typed)
    assert (done.status, f"did you mean {meant}?" in done.line) == (2, True)


def test_unmount_is_umount(run, place):
    assert "no histfs is mounted" in run("unmount", place).line


def test_the_help_of_each_command_has_what_a_user_needs(run):
    # `run` looks for the key in all that is printed.
    assert set(COMMANDS) <= set(WORDS)
    for command, words in WORDS.items():
        done = run(*command.split(), "--help")
        assert (done.status, done.err) == (0, ""), command
        text = " ".join(done.out.split())
        assert [word for word in words if word not in text] == [], command


@pytest.mark.parametrize("command", [[], ["mount"], ["cache", "verify"]])
def test_the_short_option_prints_the_same_help(run, command):
    assert run(*command, "-h") == run(*command, "--help")


def test_the_table_of_commands_has_the_first_sentence_of_each_command():
    context = click.Context(histfs)
    sentences = {
        name: histfs.get_command(context, name).get_short_help_str(limit=1000) for name in COMMANDS
    }
    assert sentences == COMMANDS
    assert list(COMMANDS) == sorted(COMMANDS)


def test_histfs_alone_prints_its_help(run):
    done = run()
    assert done.status == 2
    assert "Commands:" in done.err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], ["histfs.mounting", "histfs.simulator", "requests", "sqlite3", "rich"]),
        (["help"], ["histfs.mounting", "histfs.simulator", "requests", "sqlite3", "rich"]),
        (["umount", "/"], ["histfs.mounting", "histfs.simulator", "requests", "sqlite3", "rich"]),
        (["sync", "--connections", "0"], ["histfs.simulator", "rich.progress"]),
    ],
)
def test_a_command_imports_what_it_uses(arguments, unused):
    script = (
        "import json, sys; from histfs.cli import main\n"
        "try: main()\nfinally: print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    # A measurement of coverage would import more.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    line = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "histfs.cli" in loaded
    assert [name for name in unused if name in loaded] == []
