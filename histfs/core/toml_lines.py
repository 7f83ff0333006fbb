"""Where the keys of a TOML file stand: messages name the line, which Python's parser omits."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each key, by the names of its tables and its own.

    Only what stands at the beginning of a line is found, so not what is in an inline table. Text of
    several lines that looks like a key may be taken for one.

    Args:
        text: of a valid file.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, with underscores for dashes as settings have them."""
    return tuple(part.strip("\"'").replace("-", "_") for part in _PART.findall(dotted))
