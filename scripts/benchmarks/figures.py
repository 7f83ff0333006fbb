"""Measured figures, with those of a peer and the wanted bounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured figure, and the peer's, measured in the same run.

    Attributes:
        case: the measured case.
        value: the measured value.
        unit: the unit of both values.
        most: the wanted maximum of the ratio to the peer or, without a peer, of the value.
        least: the wanted minimum of the same.
        peer: the peer's value; None without a peer.
        beside: the peer's name.
        note: circumstances, such as a machine at its limit.
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
        """The value as a multiple of the peer's; None without a peer."""
        return self.value / self.peer if self.peer else None

    @property
    def good(self) -> bool | None:
        """Whether it is within the wanted bound; None without a bound."""
        judged = self.value if self.ratio is None else self.ratio
        if self.most is not None:
            return judged <= self.most
        return None if self.least is None else judged >= self.least

    @property
    def verdict(self) -> str:
        """`good` as a word for the table."""
        return {True: "ok", False: "MISSED", None: ""}[self.good]

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return f"{number(self.value)} {self.unit}"

    @property
    def peer_shown(self) -> str:
        """The peer's value with its unit, and the peer's name."""
        return "" if self.peer is None else f"{number(self.peer)} {self.unit}, {self.beside}"

    @property
    def wanted(self) -> str:
        """The wanted bound."""
        if self.most is not None:
            return f"≤ {self.most:,g}"
        return "" if self.least is None else f"≥ {self.least:,g}"

    def as_json(self) -> dict[str, Any]:
        """Return the figure as a JSON object, without empty values; floats have four digits."""
        values = {**asdict(self), "ratio": self.ratio, "good": self.good}
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in values.items()
            if value not in (None, "")
        }


def number(value: float) -> str:
    """Format a number with three significant digits, or as an integer from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
