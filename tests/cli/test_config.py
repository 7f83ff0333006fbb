"""`histfs config`: each setting with where it comes from, and the file in an editor."""

from __future__ import annotations

import json

import platformdirs
import pytest

from histfs.cli.config_sources import known_settings


@pytest.fixture
def file():
    """The user's own configuration file, not there yet."""
    return platformdirs.user_config_path("histfs") / "config.toml"


@pytest.fixture
def write(file):
    def write(text):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


@pytest.fixture
def show(run):
    """Return the settings that are shown, by name: the value, and where it comes from."""

    def show(*arguments, **how):
        done = run("config", "show", "--json", *arguments, **how)
        assert (done.status, done.err) == (0, "")
        rows = [json.loads(line) for line in done.out.splitlines()]
        return {row["name"]: (row["value"], row["from"]) for row in rows}

    return show


def test_each_setting_is_shown_with_where_it_comes_from(show, write):
    file = write("# mine\nrescan = '1h'\n[profiles.work]\nrescan = '2h'\nviews = ['by-day']\n")
    found = show("--connections", "3", HISTFS_TIMEOUT="5")
    assert found["connections"] == ("3", "the command line")
    assert found["timeout"] == ("5", "the variable HISTFS_TIMEOUT")
    assert found["rescan"] == ("1h", f"{file}:2")
    assert found["audio-cache-size"] == ("2G", "default")
    assert found["(key)"] == (None, "the variable ELEVENLABS_API_KEY")
    work = show("--profile", "work")
    assert work["rescan"] == ("2h", f"{file}:4")
    assert work["views"] == ("by-day", f"{file}:5")
    names = {name.replace("-", "_") for name in found} - {"(key)"}
    assert names == set(known_settings())


def test_no_key_and_no_password_is_shown(run, write):
    write(
        "api-key-command = 'echo sk_0123456789abcdef'\n"
        "[sources.other]\napi-key = 'me:password'\n[profiles.work]\n"
    )
    done = run("config", "show", key=None)
    assert done.status == 0
    assert "echo …" in done.out
    assert "sk_0123" not in done.out
    assert "password" not in done.out
    assert "[sources.other] has api-key." in done.out
    assert "Profiles: work" in done.out


def test_the_path_is_printed_also_where_the_file_is_not_there_or_is_broken(run, write, file):
    assert run("config", "path").out == f"{file}\n"
    write("broken")
    assert run("config", "path").out == f"{file}\n"


def editor(tmp_path, text):
    """Return a program that writes a text into the file that it edits."""
    program = tmp_path / "editor"
    program.write_text(f'#!/bin/sh\nprintf \'%s\' "{text}" > "$1"\n')
    program.chmod(0o755)
    return str(program)


def test_the_file_is_edited_and_checked(run, file, tmp_path, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    done = run("config", "edit", EDITOR=editor(tmp_path, "rescan = '1h'"))
    assert (done.status, done.out) == (0, f"{file} can be used.\n")
    assert file.read_text() == "rescan = '1h'"
    assert file.stat().st_mode & 0o077 == 0
    done = run("config", "edit", EDITOR=editor(tmp_path, "rescan = 'soon'"))
    assert (done.status, f"{file}:1: rescan: 'soon' is not a time" in done.line) == (78, True)
    done = run("config", "edit", EDITOR=editor(tmp_path, "rescans = 'soon'"))
    assert (done.status, "did you mean rescan?" in done.line) == (78, True)
    text = "[profiles.work]\nconnections = 0"
    done = run("config", "edit", EDITOR=editor(tmp_path, text))
    assert (done.status, f"{file}:2: connections: '0' is not" in done.line) == (78, True)
    # What is broken can be repaired.
    assert run("config", "edit", EDITOR=editor(tmp_path, "rescan = '2h'")).status == 0


def test_a_new_file_has_comments_that_can_be_used(run, file, monkeypatch):
    monkeypatch.delenv("VISUAL", raising=False)
    assert run("config", "edit", EDITOR="true").status == 0
    template = file.read_text()
    lines = template.replace("# [", "[").splitlines()
    file.write_text("\n".join(line.removeprefix("# ") if " = " in line else line for line in lines))
    assert "rescan" in run("config", "show", "--profile", "work").out


@pytest.mark.parametrize(("program", "message"), [("false", "status 1"), ("/", "can't be run")])
def test_an_editor_that_fails_is_told(run, monkeypatch, program, message):
    monkeypatch.delenv("VISUAL", raising=False)
    done = run("config", "edit", EDITOR=program)
    assert (done.status, message in done.line) == (1, True)
