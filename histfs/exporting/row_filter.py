"""Which rows a table gets: those whose fields have the values that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from histfs.core.item_row import FIELDS, ItemRow


class RowFilter:
    """Chooses rows by their fields.

    Args:
        conditions: such as ``voice=Rachel`` or ``model=eleven_*``; all have to hold. The name of a
            voice or an agent stands for its id, too.

    Attributes:
        conditions: as given, in order.

    Raises:
        ValueError: one is none, or a row has no such field.
    """

    def __init__(self, conditions: Sequence[str] = ()) -> None:
        self.conditions = tuple(sorted(conditions))
        self._wanted: list[tuple[Sequence[str], str]] = []
        for condition in self.conditions:
            name, found, value = condition.partition("=")
            if not found or name not in FIELDS:
                raise ValueError(
                    f"{condition!r} is no condition: give FIELD=VALUE, where FIELD is one of"
                    f" {', '.join(FIELDS)}"
                )
            names = [each for each in (name, f"{name}_id") if each in FIELDS]
            self._wanted.append((names, value))

    def __call__(self, row: ItemRow) -> bool:
        """Say whether a row is chosen; a field that a row lacks is empty."""
        return all(
            any(_matches(getattr(row, name), value) for name in names)
            for names, value in self._wanted
        )


def _matches(value: object, wanted: str) -> bool:
    text = "" if value is None else str(value)
    # A name may have brackets in it.
    return text == wanted or fnmatchcase(text, wanted)
