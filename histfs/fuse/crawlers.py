"""Who calls: whether a process is a crawler, one that looks into whatever lies in a folder.

The kernel tells the id of the thread that calls, and a thread has a name of its own ("pool-3").
What counts is what its process is called: by the program that it executes, or by the name of its
first thread, which also tells what a script is where the program is an interpreter.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache

#: The kernel keeps so much of a thread's name: the 15th character may be the last, or be not.
_KEPT = 15

#: Seconds for which it is remembered what a process is: a backup opens one clip after another.
_MEMORY = 1.0

log = logging.getLogger(__name__)


class Process(NamedTuple):
    """What a process is called.

    Attributes:
        program: the file name of the program; empty where the kernel doesn't tell.
        name: its first thread's name, cut off after 15 characters.
    """

    program: str
    name: str

    def is_called(self, pattern: str) -> bool:
        """Say whether a pattern, as of fnmatch(3), is of one of its names."""
        if fnmatchcase(self.program, pattern):
            return True
        if len(self.name) < _KEPT:
            return fnmatchcase(self.name, pattern)
        # What was cut off of it is in the program's name, or is to be left off the pattern, too.
        return not self.program.startswith(self.name) and (
            fnmatchcase(self.name, pattern) or fnmatchcase(self.name, pattern[:_KEPT])
        )


class Crawlers:
    """The programs for which no audio is fetched.

    Threads: any number at once; `GenerationalCache` guards itself. What was told of is a set; told
    twice is no harm.

    Args:
        patterns: of the names of programs, as of fnmatch(3).
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._told: set[str] = set()
        self._known = GenerationalCache[int, bool](_MEMORY)

    def include(self, pid: int) -> bool:
        """Say whether a process is one of them; one that can't be seen is not.

        Args:
            pid: the id of any of its threads; 0 when it has none here, in another namespace.
        """
        known = self._known.get(pid)
        if known is None:
            known = self._look(pid)
            self._known.put(pid, known)
        return known

    def _look(self, pid: int) -> bool:
        process = process_of(pid) if self._patterns else None
        if process is None:
            return False
        for pattern in filter(process.is_called, self._patterns):
            if pattern not in self._told:
                self._told.add(pattern)
                log.info("no audio is fetched for %s (--crawlers %s)", process.name, pattern)
            return True
        return False


def process_of(pid: int) -> Process | None:
    """Return what the process of a thread is called; None when it can't be seen.

    Args:
        pid: the thread's id.
    """
    thread = Path("/proc", str(pid))
    try:
        status = (thread / "status").read_text(errors="replace")
        leader = next(line.split()[1] for line in status.splitlines() if line.startswith("Tgid:"))
        name = Path("/proc", leader, "comm").read_text(errors="replace").removesuffix("\n")
    except (OSError, StopIteration):
        return None
    try:
        # An update of a program deletes the file of the one that runs.
        program = (thread / "exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        program = ""  # somebody else's, or a thread of the kernel's own
    return Process(program, name)
