"""The zone of an account's names: what the first mount fixed, whatever zone the machine is in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from histfs.mounting import account_zone
from histfs.mounting.account_zone import fix_zone, fixed_zone, machine_zone, zone_of
from histfs.settings import OptionError

NOON = 1_782_907_200  # 2026-07-01T12:00:00 UTC
RULES = Path("/usr/share/zoneinfo")


class Account:
    """An account's directory in the cache, and what its mounts have told."""

    def __init__(self, home):
        self.home = home

    def mount(self, given=None):
        """Return what a mount tells, and the hour that its names have at noon of UTC."""
        told = []
        fix_zone(self.home, given, told.append)
        return told, zone_of(self.home, given).stamp(NOON)[11:13]


@pytest.fixture
def account(tmp_path):
    return Account(tmp_path)


def test_the_first_mount_fixes_the_zone_and_says_nothing(account, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert account.mount() == ([], "14")
    assert account.mount() == ([], "14")


def test_a_mount_in_another_zone_keeps_the_names_and_says_so_in_one_line(account, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    account.mount()
    monkeypatch.setenv("TZ", "America/New_York")
    (line,), hour = account.mount()
    assert hour == "14"
    assert "Europe/Berlin" in line
    assert "America/New_York" in line
    assert "--timezone" in line


def test_the_option_changes_the_zone_and_says_what_that_does_to_copies(account, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    account.mount()
    (line,), hour = account.mount("Asia/Tokyo")
    assert hour == "21"
    assert "twice" in line
    assert account.mount("Asia/Tokyo") == ([], "21")
    assert account.mount()[1] == "21"


def test_the_option_of_a_command_without_a_mount_fixes_nothing(account, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert zone_of(account.home, "Asia/Tokyo").stamp(NOON)[11:13] == "21"
    assert fixed_zone(account.home) is None


def test_another_name_of_the_same_zone_is_no_other_zone(account, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    account.mount()
    monkeypatch.setenv("TZ", "Etc/UTC")
    assert account.mount() == ([], "12")


def test_a_given_zone_that_is_not_known_is_not_fixed(account):
    with pytest.raises(OptionError, match="Nowhere"):
        account.mount("Nowhere/Land")
    assert fixed_zone(account.home) is None


def test_a_zone_without_a_name_is_not_fixed_and_a_line_says_so(account, monkeypatch):
    monkeypatch.setenv("TZ", "XYZ-3:17")
    (line,), _ = account.mount()
    assert "--timezone" in line
    assert fixed_zone(account.home) is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("", "UTC"),
        ("EST5EDT,M3.2.0,M11.1.0", None),
    ],
)
def test_the_name_of_the_machines_zone_in_the_environment(monkeypatch, value, name):
    monkeypatch.setenv("TZ", value)
    assert machine_zone() == name


@pytest.mark.skipif(not (RULES / "Asia/Tokyo").exists(), reason="needs tzdata")
def test_the_name_of_the_machines_zone_in_etc_localtime(tmp_path, monkeypatch):
    local = tmp_path / "localtime"
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(account_zone, "_LOCALTIME", local)
    assert machine_zone() == "UTC"  # tzset(3)
    local.symlink_to(RULES / "Asia/Tokyo")
    assert machine_zone() == "Asia/Tokyo"
    local.unlink()
    shutil.copy(RULES / "Asia/Tokyo", local)
    # Several zones may have the same rules, and so the same names of items.
    assert account_zone.zone_of(tmp_path, machine_zone()).stamp(NOON)[11:13] == "21"
