"""Progress of a command: bars on a terminal, elsewhere one line for each step.

Threads: the calls come from the command's thread. rich draws the bars in a thread of its own and
guards the state that both use.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol

import click


class Display(Protocol):
    """Shows the progress of one step at a time."""

    def begin(self, what: str, total: int | None = None) -> None:
        """Begin a step.

        Args:
            what: the step's name.
            total: units of work in the step; None if that is unknown.
        """

    def update(self, done: int, note: str = "") -> None:
        """Show how many units of the step are done."""

    def wait(self, why: str) -> None:
        """Show why the step is paused."""

    def message(self, line: str) -> None:
        """Print a line; the step goes on."""

    def end(self, line: str) -> None:
        """End the step with a line about its result."""


class SilentDisplay:
    """Shows nothing, for a command whose output is read by a program."""

    def begin(self, what: str, total: int | None = None) -> None:
        """Show nothing."""

    def update(self, done: int, note: str = "") -> None:
        """Show nothing."""

    def wait(self, why: str) -> None:
        """Show nothing."""

    def message(self, line: str) -> None:
        """Show nothing."""

    def end(self, line: str) -> None:
        """Show nothing."""


class LineDisplay(SilentDisplay):
    """Prints lines only, for a file, a pipe or a journal."""

    def wait(self, why: str) -> None:
        """Print the reason."""
        click.echo(why)

    def message(self, line: str) -> None:
        """Print the line."""
        click.echo(line)

    def end(self, line: str) -> None:
        """Print the result."""
        click.echo(line)


@contextlib.contextmanager
def open_display(*, silent: bool = False) -> Iterator[Display]:
    """Yield a display that fits standard output.

    Args:
        silent: show nothing, because standard output is for a program.
    """
    if silent or not sys.stdout.isatty():
        yield SilentDisplay() if silent else LineDisplay()
        return
    # Imported late: rich takes as long to import as all of histfs.
    from histfs.cli.progress_bars import BarDisplay  # noqa: PLC0415

    with BarDisplay() as bars:
        yield bars


def format_size(size: float) -> str:
    """Return a number of bytes as ``900 KB``, ``12.3 MB`` or ``4.0 GB``."""
    if size < 1_000_000:
        return f"{size / 1000:,.0f} KB"
    if size < 1_000_000_000:
        return f"{size / 1_000_000:,.1f} MB"
    return f"{size / 1_000_000_000:,.1f} GB"


def pluralize(number: int, noun: str) -> str:
    """Return ``1 clip`` or ``1,234 clips``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
