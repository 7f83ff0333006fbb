"""The configuration file: settings, tables of sources, profiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from histfs.config import read_config
from histfs.settings import OptionError, SettingsError

KNOWN = ["listing_ttl", "timezone", "options", "views", "files", "sources", "api_key_file"]


@pytest.fixture
def config(monkeypatch, tmp_path) -> Path:
    """The user's own configuration file, not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "histfs" / "config.toml"
    file.parent.mkdir()
    return file


def test_the_users_configuration_need_not_be_there(config):
    found = read_config(None, KNOWN)
    assert (found.path, found.top.values, dict(found.profiles)) == (config, {}, {})


def test_it_is_read_with_dashes_or_underscores(config):
    config.write_text('listing-ttl = 5\ntimezone = "UTC"\noptions = ["ro"]\n')
    values = read_config(None, KNOWN).top.values
    assert values == {"listing_ttl": "5", "timezone": "UTC", "options": ["ro"]}


def test_it_may_come_from_an_editor_of_windows(config):
    config.write_bytes(b"\xef\xbb\xbflisting-ttl = 5\r\ntimezone = 'UTC'\r\n")
    top = read_config(None, KNOWN).top
    assert top.values == {"listing_ttl": "5", "timezone": "UTC"}
    assert top.places["timezone"] == f"{config}:2"


def test_names_may_be_given_as_a_list(config):
    config.write_text('views = ["by-day", "by-date"]\nfiles = "audio+text"\nsources = ["a"]\n')
    values = read_config(None, KNOWN).top.values
    assert values == {"views": "by-day+by-date", "files": "audio+text", "sources": "a"}


def test_a_configuration_that_was_asked_for_must_be_there(config):
    with pytest.raises(SettingsError, match="can't be read"):
        read_config(config, KNOWN)


def test_a_source_has_a_table_of_its_own_with_whatever_it_likes(config):
    config.write_text("[sources.local]\ndirectory = '/clips'\ndeep = {a = [1]}\n")
    top = read_config(None, KNOWN).top
    assert top.sources == {"local": {"directory": "/clips", "deep": {"a": [1]}}}
    assert top.values == {}


@pytest.mark.parametrize(
    "content",
    ["[sources]\nuse = ['history', 'local']\n[sources.local]\na = 1",
     "sources.use = 'history+local'\n[sources.local]\na = 1"],
)  # fmt: skip
def test_sources_are_chosen_beside_their_tables(config, content):
    config.write_text(content)
    top = read_config(None, KNOWN).top
    assert top.values == {"sources": "history+local"}
    assert top.sources == {"local": {"a": 1}}


def test_a_profile_counts_more_than_the_top_setting_by_setting(config):
    config.write_text(
        """
        timezone = "UTC"
        views = "by-date"
        sources.local = {a = 1, b = 1}
        [profiles.work]
        views = ["by-day"]
        [profiles.work.sources.local]
        b = 2
        [profiles.home]
        """
    )
    found = read_config(None, KNOWN)
    work, home = found.for_profile("work"), found.for_profile("home")
    assert work.values == {"timezone": "UTC", "views": "by-day"}
    assert work.sources == {"local": {"a": 1, "b": 2}}
    assert (work.profile, work.own) == ("work", {"views"})
    assert (home.values, home.sources) == (found.top.values, found.top.sources)
    assert found.for_profile(None) == found.top


@pytest.mark.parametrize(
    ("content", "known"),
    [("", "none"), ("[profiles.work]\n[profiles.home]\n", "work, home")],
)
def test_an_unknown_profile_is_told_with_those_there_are(config, content, known):
    config.write_text(content)
    with pytest.raises(OptionError, match=f"'away'.*{config} has {known};.*config edit"):
        read_config(None, KNOWN).for_profile("away")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"listing-ttl", "is not TOML"),
        ('timezone = "Köln"'.encode("latin-1"), "is not TOML"),
        (b"api-key = 'x'", "api_key is not a setting"),
        (b"[mount]\nlisting-ttl = 5", "mount is not a setting"),
        (b"views = [['a']]", "views can't be"),
        (b"views = {a = 1}", "views can't be"),
        (b"sources = 1979-05-27", "sources can't be"),
        (b"[sources]\nlocal = 1", "sources.local is not a table"),
        (b"[sources]\nuse = 1979-05-27", "sources can't be"),
        (b"[sources.'../up']", "'../up' can't be a name"),
        (b"profiles = 'work'", "profiles is not a table"),
        (b"[[profiles]]", "profiles is not a table"),
        (b"[profiles]\nwork = 1", "profiles.work is not a table"),
        (b"[profiles.'a/b']", "'a/b' can't be a name"),
        (b"[profiles.'']", "'' can't be a name"),
        (b"[profiles.default]", "no profile can be called default"),
        (b"[profiles.work]\napi-key = 'x'", "profiles.work: api_key is not a setting"),
        (b"[profiles.work.profiles.more]", "profiles.work: profiles is not a setting"),
        (b"[profiles.work.sources]\nlocal = 1", "profiles.work: sources.local is not a table"),
    ],
)
def test_what_can_not_be_used_is_refused_by_its_name(config, content, why):
    config.write_bytes(content)
    with pytest.raises(SettingsError, match=why) as caught:
        read_config(None, KNOWN)
    assert str(config) in str(caught.value)


def test_what_stands_in_the_place_of_a_table_is_not_told(config):
    config.write_text("[profiles]\napi-key = 'sk_secret'\n")
    with pytest.raises(SettingsError) as caught:
        read_config(None, KNOWN)
    assert "sk_secret" not in str(caught.value)


# Who can change it


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622, 0o777])
@pytest.mark.parametrize("given", [False, True])
def test_a_file_that_others_can_write_is_refused_with_what_to_run(config, mode, given):
    config.write_text("api-key-command = 'evil'\n")
    config.chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod go-w {config}$"):
        read_config(config if given else None, ["api_key_command"])
    config.chmod(mode & ~0o022)
    assert read_config(None, ["api_key_command"]).top.values == {"api_key_command": "evil"}


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_directory_that_others_can_write_is_refused_with_what_to_run(config, tmp_path, mode):
    config.write_text("")
    config.parent.chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod go-w {config.parent}$"):
        read_config(None, KNOWN)
    config.parent.chmod(0o700)
    # So is the one that a link leads to.
    shared = tmp_path / "shared"
    shared.mkdir()
    config.rename(shared / "config.toml")
    config.symlink_to(shared / "config.toml")
    assert read_config(None, KNOWN).top.values == {}
    shared.chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod go-w {shared}$"):
        read_config(None, KNOWN)


def test_a_file_in_a_directory_for_all_with_the_sticky_bit_is_read(config):
    config.write_text("")
    config.parent.chmod(0o1777)
    assert read_config(None, KNOWN).top.values == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("whose", ["file", "directory", "link"])
def test_another_users_configuration_is_refused(config, tmp_path, whose):
    real = tmp_path / "real.toml"
    real.write_text("")
    config.symlink_to(real)
    assert read_config(None, KNOWN).top.values == {}
    os.lchown({"file": real, "directory": config.parent, "link": config}[whose], 12345, 12345)
    with pytest.raises(SettingsError, match=r"another user \(12345\)"):
        read_config(None, KNOWN)


def test_a_device_is_no_configuration():
    with pytest.raises(SettingsError, match="/dev/zero can't be read: it is not a file"):
        read_config(Path("/dev/zero"), KNOWN)
