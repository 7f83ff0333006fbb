"""What was measured, and what is wanted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        case: what was done.
        value: what was measured.
        unit: its unit.
        most: what it should be at the most; None for no limit.
        least: what it should be at least; None for no limit.
    """

    case: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def good(self) -> bool | None:
        """Whether it is as it should be; None when nothing is said of it."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        digits = 0 if self.value == int(self.value) or self.value >= 1000 else 2
        return f"{self.value:,.{digits}f} {self.unit}"

    @property
    def wanted(self) -> str:
        """What it should be."""
        if self.most is not None:
            return f"≤ {self.most:,g}"
        return "" if self.least is None else f"≥ {self.least:,g}"

    def as_json(self) -> dict[str, Any]:
        """Return it for a machine."""
        return {**asdict(self), "good": self.good}
