"""Bars on a terminal, drawn by rich."""

from __future__ import annotations

from types import TracebackType

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from histfs.cli.progress import Display


class _CountColumn(ProgressColumn):
    """How much is done, of how much where that is known, and how fast."""

    def render(self, task: Task) -> Text:
        """Return ``120 of 5,000, 12/s``."""
        count = f"{task.completed:,.0f}"
        if task.total is not None:
            count += f" of {task.total:,.0f}"
        return Text(f"{count}, {task.speed:,.0f}/s" if task.speed else count)


class Bars(Display):
    """A bar for the step that is under way, and the lines of those that are done above it."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            _CountColumn(),
            TimeElapsedColumn(),
            # The last one: what it says may be long.
            TextColumn("{task.fields[note]}", markup=False),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Bars:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, and give the terminal back as it was."""
        self._progress.stop()

    def begin(self, what: str, total: int | None = None) -> None:
        """Show a bar; one that has no end moves to and fro."""
        self._clear()
        self._task = self._progress.add_task(what, total=total, note="")

    def move(self, done: int, note: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, note=note)

    def wait(self, why: str) -> None:
        """Say why beside the bar."""
        if self._task is not None:
            self._progress.update(self._task, note=why)

    def tell(self, line: str) -> None:
        """Put the line above the bar."""
        self._progress.console.print(Text(line), soft_wrap=True)

    def end(self, line: str) -> None:
        """Put the line in the bar's place."""
        self._clear()
        self._progress.refresh()
        self.tell(line)

    def _clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
