"""Progress bars on a terminal, drawn by rich. They implement `histfs.cli.progress.Display`."""

from __future__ import annotations

import time
from datetime import timedelta

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

#: Seconds without progress after which that is shown.
_IDLE = 2.0


class _CountColumn(ProgressColumn):
    """The units done, their total if it is known, and the rate."""

    def render(self, task: Task) -> Text:
        """Return ``120 of 5,000, 12/s``."""
        count = f"{task.completed:,.0f}"
        if task.total is not None:
            count += f" of {task.total:,.0f}"
        return Text(f"{count}, {task.speed:,.0f}/s" if task.speed else count)


class _TimeColumn(ProgressColumn):
    """The time gone, and the time left, or for how long nothing has come."""

    def render(self, task: Task) -> Text:
        """Return ``0:01:05, 0:00:10 left`` or ``0:01:05, nothing new for 7 s``."""
        gone = timedelta(seconds=int(task.elapsed or 0))
        idle = time.monotonic() - float(task.fields["since"])
        if idle > _IDLE:
            return Text(f"{gone}, nothing new for {idle:.0f} s")
        if task.time_remaining is not None and not task.finished:
            return Text(f"{gone}, {timedelta(seconds=int(task.time_remaining))} left")
        return Text(str(gone))


class BarDisplay:
    """A bar for the current step below the result lines of the earlier ones."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            _CountColumn(),
            _TimeColumn(),
            # The last column, because a note may be long.
            TextColumn("{task.fields[note]}", markup=False),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> BarDisplay:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing and restore the terminal."""
        self._progress.stop()

    def begin(self, what: str, total: int | None = None) -> None:
        """Show a bar; without a total it pulses."""
        self._clear()
        self._task = self._progress.add_task(what, total=total, note="", since=time.monotonic())

    def update(self, done: int, note: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, note=note, since=time.monotonic())

    def wait(self, why: str) -> None:
        """Show the reason beside the bar."""
        if self._task is not None:
            self._progress.update(self._task, note=why)

    def message(self, line: str) -> None:
        """Print the line above the bar."""
        self._progress.console.print(Text(line), soft_wrap=True)

    def end(self, line: str) -> None:
        """Replace the bar with the line."""
        self._clear()
        self._progress.refresh()
        self.message(line)

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
