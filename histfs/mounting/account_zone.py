"""The time zone of an account's names, which is fixed in its cache by the first mount.

The names of items hold a local time. If they followed the machine, a copy that was made in another
zone would get every item a second time, under another name.

Threads: none of its own. Of several processes that fix a zone at once the last one wins.
"""

from __future__ import annotations

import contextlib
import datetime
import difflib
import logging
import os
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfoNotFoundError, available_timezones

from histfs.core.times import FIRST_POSSIBLE, Zone
from histfs.mounting.plugin_factory import Tell
from histfs.settings import OptionError

#: The file in the account's directory: the name of a zone.
ZONE = "zone"
#: Maximum length of the name of a zone in bytes.
_NAME_MAX = 255
_LOCALTIME = Path("/etc/localtime")
_ZONEINFO = "/zoneinfo/"
_UTC = "UTC"
_WEEK = 7 * 86_400
#: Seconds after now for which two zones are compared.
_AHEAD = 2 * 366 * 86_400

log = logging.getLogger(__name__)


def zone_of(home: Path, given: str | None) -> Zone:
    """Return the zone of an account's names: the given one, else the fixed one, else the machine's.

    Args:
        home: the account's directory in the cache.
        given: the name of a zone; None for none.

    Raises:
        OptionError: the zone is not known on this machine.
    """
    return _known(given or fixed_zone(home) or machine_zone())


def fix_zone(home: Path, given: str | None, tell: Tell) -> None:
    """Fix the zone of an account's names, as a mount does, and tell what differs.

    Args:
        home: the account's directory in the cache.
        given: the name of a zone, which becomes the fixed one; None to keep that.
        tell: takes a line for the user.

    Raises:
        OptionError: the given zone is not known on this machine.
    """
    fixed, machine = fixed_zone(home), machine_zone()
    name = given or fixed or machine
    if name is None:
        tell("the zone of this machine has no name, and names change with it: give --timezone")
        return
    if name != fixed:
        _known(name)
        _store(home, name)
        if fixed is not None and _differ(name, fixed):
            tell(
                f"names have the times of {name} now, and no longer of {fixed}: a copy that was"
                " made before will hold each item twice"
            )
    elif given is None and _differ(name, machine):
        tell(
            f"names have the times of {name}, as before, and not of this machine's zone"
            f" ({machine or 'without a name'}): --timezone changes that"
        )


def fixed_zone(home: Path) -> str | None:
    """Return the name of the zone that was fixed; None if none was.

    Args:
        home: the account's directory in the cache.
    """
    try:
        with (home / ZONE).open("rb") as file:
            raw = file.read(_NAME_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("the zone of names can't be read from %s: %s", home / ZONE, error.strerror)
        return None
    return raw.decode("ascii", "replace").strip() or None


def machine_zone() -> str | None:
    """Return the name of this machine's zone; None if it has none, or one without rules here.

    A file of rules that was copied to ``/etc/localtime`` is looked for among the known zones.
    """
    variable = os.environ.get("TZ")
    if variable is None:
        return _zone_in(_LOCALTIME) if _LOCALTIME.exists() else _UTC
    value = variable.removeprefix(":")
    # An empty value is UTC: tzset(3).
    return _zone_in(Path(value)) if value.startswith("/") else _if_known(value or _UTC)


def _zone_in(rules: Path) -> str | None:
    """Return the name of the zone whose file of rules a path leads to."""
    _, found, name = os.path.realpath(rules).rpartition(_ZONEINFO)
    return _if_known(name.removeprefix("posix/")) if found else _zone_like(rules)


def _zone_like(rules: Path) -> str | None:
    """Return the name of a zone whose file of rules is the same."""
    with contextlib.suppress(OSError):
        content = rules.read_bytes()
        # "Europe/Berlin" rather than "CET"; "localtime" leads back to the machine's.
        names = available_timezones() - {"localtime"}
        for name in sorted(names, key=lambda name: ("/" not in name, name)):
            for directory in TZPATH:
                path = Path(directory, name)
                with contextlib.suppress(OSError):
                    if path.stat().st_size == len(content) and path.read_bytes() == content:
                        return name
    return None


def _if_known(name: str) -> str | None:
    with contextlib.suppress(OptionError):
        _known(name)
        return name
    return None


def _differ(name: str, other: str | None) -> bool:
    """Say whether names have other times in another zone; a zone may have several names.

    Args:
        name: of a zone.
        other: likewise; None for the machine's.
    """
    if name == other:
        return False
    try:
        one, two = Zone(name), Zone(other)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return True
    end = int(datetime.datetime.now(datetime.timezone.utc).timestamp()) + _AHEAD
    return any(
        one.stamp(moment) != two.stamp(moment) for moment in range(FIRST_POSSIBLE, end, _WEEK)
    )


def require_known(name: str) -> None:
    """Check that this machine knows a time zone.

    Raises:
        OptionError: it does not.
    """
    _known(name)


def _known(name: str | None) -> Zone:
    try:
        return Zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        zones = available_timezones()
        hint = "" if zones else ", which has no time zones: apt install tzdata"
        if nearest := difflib.get_close_matches(str(name), zones, 1):
            hint = f": did you mean {nearest[0]}?"
        raise OptionError(f"the time zone {name!r} is not known on this machine{hint}") from error


def _store(home: Path, name: str) -> None:
    """Store the zone, whole or not at all; a full disk is told in the log."""
    path, part = home / ZONE, home / f"{ZONE}.{os.getpid()}"
    try:
        part.write_text(f"{name}\n", encoding="ascii")
        part.replace(path)
    except OSError as error:
        log.warning("the zone of names can't be fixed in %s: %s", path, error.strerror)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
