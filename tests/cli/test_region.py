"""Which server is asked: the region, the base URL, and the variable of the official tools."""

from __future__ import annotations

import json

import pytest

from histfs.cli import doctor_checks
from histfs.cli.doctor_checks import Finding
from histfs.sources.elevenlabs.service import REGIONS

EU = "https://api.eu.residency.elevenlabs.io"
PROXY = "https://proxy.example.com/eleven"


@pytest.fixture
def asked(run, monkeypatch, tmp_path):
    """Return the base URL that `histfs doctor` would ask, without asking it."""

    def asked(*arguments, config="", **env):
        file = tmp_path / "config.toml"
        file.write_text(config)
        urls = []

        def server(settings):
            urls.append(settings.base_url)
            yield Finding("server", "ok", "")

        for name in ("HISTFS_REGION", "HISTFS_BASE_URL", "ELEVENLABS_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(doctor_checks, "server", server)
        run("doctor", "--config", file, "--cache-dir", tmp_path, *arguments, **env)
        (url,) = urls
        return url

    return asked


@pytest.fixture
def refused(run, tmp_path):
    """Return the status and the line with which `histfs sync` refuses its settings."""

    def refused(*arguments, config="", **env):
        file = tmp_path / "config.toml"
        file.write_text(config)
        done = run("sync", "--config", file, *arguments, **env)
        return done.status, done.line

    return refused


@pytest.mark.parametrize(
    ("region", "url"),
    [("us", "https://api.us.elevenlabs.io"), ("eu", EU),
     ("in", "https://api.in.residency.elevenlabs.io"),
     ("sg", "https://api.sg.residency.elevenlabs.io"), ("global", "https://api.elevenlabs.io")],
)  # fmt: skip
def test_a_region_has_its_own_address(asked, region, url):
    assert asked("--region", region) == asked("--region", region.upper()) == url
    assert asked(HISTFS_REGION=region) == url
    assert asked(config=f"region = '{region}'") == url


def test_every_command_with_a_base_url_has_regions(run):
    for command in (["mount"], ["ls"], ["cat"], ["rm"], ["sync"], ["doctor"], ["cache", "verify"]):
        text = run(*command, "--help").out
        assert ("--base-url" in text, "--region" in text) == (True, True), command


def test_an_unknown_region_is_refused_with_those_there_are(refused):
    status, line = refused("--region", "moon")
    assert status == 2
    assert all(region in line for region in REGIONS)


def test_a_profile_may_have_a_region_of_its_own(asked):
    config = f"base-url = '{PROXY}'\n[profiles.work]\nregion = 'eu'\n[profiles.home]\n"
    assert asked("--profile", "work", config=config) == EU
    assert asked("--profile", "home", config=config) == PROXY


def test_of_region_and_base_url_the_one_that_is_given_nearer_counts(asked):
    assert asked("--region", "eu", HISTFS_BASE_URL=PROXY) == EU
    assert asked("--base-url", PROXY, HISTFS_REGION="eu") == PROXY
    assert asked("--base-url", PROXY, config="region = 'eu'") == PROXY
    config = f"region = 'eu'\n[profiles.work]\nbase-url = '{PROXY}'"
    assert asked("--profile", "work", config=config) == PROXY


def test_region_and_base_url_in_one_place_exclude_each_other(refused):
    status, line = refused("--region", "eu", "--base-url", PROXY)
    assert (status, "--base-url and --region exclude each other" in line) == (2, True)
    top = f"region = 'eu'\nbase-url = '{PROXY}'\n"
    status, line = refused(config=top)
    assert (status, "base-url and region at its top" in line) == (78, True)
    status, line = refused("--profile", "work", config=f"[profiles.work]\n{top}")
    assert (status, "base-url and region in [profiles.work]" in line) == (78, True)
    status, line = refused(HISTFS_REGION="eu", HISTFS_BASE_URL=PROXY)
    assert (status, "HISTFS_BASE_URL and HISTFS_REGION" in line) == (2, True)


def test_the_variable_of_the_official_tools_counts_least(asked):
    assert asked(ELEVENLABS_BASE_URL=PROXY + "/") == PROXY
    other = {"ELEVENLABS_BASE_URL": "https://x.example.com"}
    assert asked(config="region = 'eu'", **other) == EU
    assert asked(config=f"base-url = '{PROXY}'", **other) == PROXY
    assert asked("--base-url", PROXY, **other) == PROXY
    assert asked(HISTFS_REGION="eu", **other) == EU
    assert asked(ELEVENLABS_BASE_URL="") == "https://api.elevenlabs.io"


@pytest.mark.parametrize(
    ("value", "message"),
    [("http://api.example.com", "--insecure-http"), ("api.elevenlabs.io", "is not a base URL")],
)
def test_the_variable_of_the_official_tools_is_checked_like_the_option(refused, value, message):
    status, line = refused(ELEVENLABS_BASE_URL=value)
    assert status == 2
    assert line.startswith("histfs: ELEVENLABS_BASE_URL: ")
    assert message in line


def test_a_refused_key_may_be_of_another_region(run, place, server, tmp_path):
    where = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
    assert "a key belongs to one" in run("mount", "-f", place, *where, key="wrong").line
    found = json.loads(run("doctor", "--json", *where, key="wrong").out)["checks"]
    (access,) = (check for check in found if check["check"] == "access")
    assert "--region" in access["said"]


def test_a_missing_permission_has_nothing_to_do_with_regions(run, place, server, tmp_path):
    where = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
    assert "region" not in run("mount", "-f", place, *where, key="writer").line
