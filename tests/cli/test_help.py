"""What the commands tell of themselves."""

from __future__ import annotations

import pytest

from histfs import __version__


@pytest.mark.parametrize("option", ["--version"])
def test_the_version_is_told(run, option):
    done = run(option)
    assert (done.status, done.out, done.err) == (0, f"histfs {__version__}\n", "")


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            [],
            ["mount", "umount", "ls", "cat", "rm", "sync", "status", "cache", "plugins", "simulate",
             "deletes the item"],
        ),
        (
            ["mount"],
            ["MOUNTPOINT", "histfs umount", "ELEVENLABS_API_KEY", "--api-key-file", "--read-only",
             "--api-key-command", "--insecure-http",
             "--demo", "--foreground", "--base-url", "--cache-dir", "--audio-cache-size",
             "--listing-ttl", "--timezone", "--sizes", "--timeout", "--config", "placement=",
             "--views", "--files", "--sources", "views=", "--profile NAME", "--profiles NAME",
             "umask", "deletes the item"],
        ),
        (["umount"], ["MOUNTPOINT", "--lazy"]),
        (
            ["sync"],
            ["--audio ", "--base-url", "--api-key-file", "--cache-dir", "--audio-cache-size",
             "--connections", "--rescan", "--timeout", "--config", "Ctrl-C"],
        ),
        (["status"], ["[MOUNTPOINT]", "--json"]),
        (["doctor"], ["[MOUNTPOINT]", "--json", "--trash", "--cache-dir", "Nothing is changed"]),
        (["cache"], ["verify"]),
        (
            ["cache", "verify"],
            ["--json", "--base-url", "--api-key-file", "--cache-dir", "--config", "are removed"],
        ),
        (["ls"], ["[PATH]…", "--long", "--json", "--listing-ttl", "--timezone", "--views", "jq"]),
        (["cat"], ["PATH…", "--cache-dir", "--timeout"]),
        (["rm"], ["PATH…", "--verbose", "--trash", "--no-trash", "--read-only", "A copy"]),
        (["purge"], ["[ITEM]…", "--caller", "--local", "--dry-run", "--yes", "--trash", "good"]),
        (["plugins"], ["--json", "No key"]),
        (["simulate"], ["--port", "--items", "--latency", "Ctrl-C"]),
    ],
    ids=lambda value: " ".join(value)[:10],
)  # fmt: skip
def test_the_help_has_what_a_user_needs(run, command, words, option):
    done = run(*command, option)
    assert (done.status, done.err) == (0, "")
    text = " ".join(done.out.split())
    assert [word for word in words if word not in text] == []


def test_the_help_never_shows_the_key(run):
    # `run` looks for it in all that is printed.
    assert run("mount", "--help").status == 0


def test_histfs_alone_shows_its_help(run):
    done = run()
    assert done.status == 2
    assert "Commands:" in done.err.splitlines()
