"""What was measured, beside what, and what is wanted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured figure, and a peer's own, measured in the same run.

    Attributes:
        case: what was done.
        value: what was measured.
        unit: its unit.
        most: what the ratio to the peer should be at the most, or without a peer the value.
        least: what it should be at least.
        peer: what was measured of the peer, in the same unit; None where there is none.
        beside: who the peer is.
        note: what was in the way, such as a machine that had no more to give.
    """

    case: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    peer: float | None = None
    beside: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the peer's; None where there is no peer."""
        return self.value / self.peer if self.peer else None

    @property
    def good(self) -> bool | None:
        """Whether it is as it should be; None when nothing is said of it."""
        judged = self.value if self.ratio is None else self.ratio
        if self.most is not None:
            return judged <= self.most
        return None if self.least is None else judged >= self.least

    @property
    def verdict(self) -> str:
        """The same in a word."""
        return {True: "ok", False: "MISSED", None: ""}[self.good]

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return f"{number(self.value)} {self.unit}"

    @property
    def peer_shown(self) -> str:
        """The peer's own, and who it is."""
        return "" if self.peer is None else f"{number(self.peer)} {self.unit}, {self.beside}"

    @property
    def wanted(self) -> str:
        """What it should be."""
        if self.most is not None:
            return f"≤ {self.most:,g}"
        return "" if self.least is None else f"≥ {self.least:,g}"

    def as_json(self) -> dict[str, Any]:
        """Return it for a machine: what there is to say, in four digits."""
        told = {**asdict(self), "ratio": self.ratio, "good": self.good}
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in told.items()
            if value not in (None, "")
        }


def number(value: float) -> str:
    """Return a number in three digits, or all of a large one."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
