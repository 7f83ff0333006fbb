"""The table of programs: the one of the package (programs.toml), and files that extend it.

    [[program]]
    name = "bsdtar"             a pattern of fnmatch(3): of the program, the process or the script
    argument = "thumbnail*"     a pattern of one of its arguments, if only some of its processes
    class = "archiver"          crawler, archiver, player, listener or default

Of several rules for a program the first one counts: those of the user's file stand before
``--crawlers``, and these before the package's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from histfs.config import parse_toml, read_toml
from histfs.core.programs import ProgramClass, ProgramTable, Rule
from histfs.settings import SettingsError

_CLASSES = {each.value: each for each in ProgramClass}
_KEYS = {"name", "argument", "class"}
_FILE = "programs.toml"


@lru_cache(1)
def shipped_rules() -> tuple[Rule, ...]:
    """Return the rules of the package."""
    text = resources.files("histfs").joinpath(_FILE).read_text(encoding="utf-8")
    where = f"histfs's {_FILE}"
    return _rules(where, parse_toml(where, text))


def read_rules(file: Path) -> tuple[Rule, ...]:
    """Read the rules of a file.

    Raises:
        SettingsError: it can't be read, is not TOML, or has something else than rules.
    """
    return _rules(str(file), read_toml(file))


def program_table(file: Path | None, crawlers: Sequence[str] | None) -> ProgramTable:
    """Return the table of a mount.

    Args:
        file: extends the package's table; None for no such file.
        crawlers: patterns in place of the package's crawlers; None for those.

    Raises:
        SettingsError: see `read_rules`.
    """
    own = () if file is None else read_rules(file)
    shipped = shipped_rules()
    if crawlers is None:
        return ProgramTable((*own, *shipped))
    named = [Rule(name, ProgramClass.CRAWLER, origin="--crawlers") for name in crawlers]
    others = [rule for rule in shipped if rule.program_class is not ProgramClass.CRAWLER]
    return ProgramTable((*own, *named, *others))


def _rules(where: str, values: dict[str, Any]) -> tuple[Rule, ...]:
    rows = values.pop("program", [])
    if values or not isinstance(rows, list):
        raise SettingsError(f"{where}: give tables [[program]], and nothing else")
    return tuple(_rule(where, row) for row in rows)


def _rule(where: str, row: Any) -> Rule:  # noqa: ANN401 - a value of TOML
    if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
        raise SettingsError(f"{where}: each [[program]] has texts alone")
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise SettingsError(f"{where}: [[program]] has no {unknown[0]}")
    name, argument = row.get("name", ""), row.get("argument")
    if not name or argument == "":
        raise SettingsError(f"{where}: each [[program]] needs a name, and no empty argument")
    if row.get("class") not in _CLASSES:
        raise SettingsError(f"{where}: the class of {name!r} is one of {', '.join(_CLASSES)}")
    return Rule(name, _CLASSES[row["class"]], argument, where)
