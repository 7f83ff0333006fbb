"""Recognise crawlers (thumbnailers, indexers) among the calling processes, by their names.

The kernel gives the id of the calling thread, and a thread may have a name of its own ("pool-3").
So the names of its process are compared: the program that it executes, and the name of its first
thread, which is the script's where the program is an interpreter.

Threads: any number at once. `GenerationalCache` has its own lock. `Crawlers._logged` is a set; two
threads may log the same pattern once each.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from histfs.core.generational_cache import GenerationalCache

#: The kernel cuts a thread's name off after so many characters (TASK_COMM_LEN less the NUL).
_NAME_MAX = 15

#: Seconds for which an answer is cached: a backup opens one clip after another.
_TTL = 1.0

log = logging.getLogger(__name__)


class Process(NamedTuple):
    """The names of a process.

    Attributes:
        program: the file name of its program; empty where the kernel does not give it.
        name: the name of its first thread, cut off after 15 characters.
    """

    program: str
    name: str

    def matches(self, pattern: str) -> bool:
        """Say whether a pattern of fnmatch(3) matches one of the names."""
        if fnmatchcase(self.program, pattern):
            return True
        if len(self.name) < _NAME_MAX:
            return fnmatchcase(self.name, pattern)
        # The name may be cut off: use the program's where that is the longer one, else cut the
        # pattern off, too.
        return not self.program.startswith(self.name) and (
            fnmatchcase(self.name, pattern) or fnmatchcase(self.name, pattern[:_NAME_MAX])
        )


class Crawlers:
    """The programs for which no audio is fetched.

    Args:
        patterns: of the names of programs, as fnmatch(3) takes them.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._logged: set[str] = set()
        self._cache = GenerationalCache[int, bool](_TTL)

    def include(self, pid: int) -> bool:
        """Say whether a process is a crawler; one that can't be seen is none.

        Args:
            pid: the id of any of its threads; 0 for one in another PID namespace.
        """
        crawler = self._cache.get(pid)
        if crawler is None:
            crawler = self._look_up(pid)
            self._cache.put(pid, crawler)
        return crawler

    def _look_up(self, pid: int) -> bool:
        process = process_of(pid) if self._patterns else None
        if process is None:
            return False
        for pattern in filter(process.matches, self._patterns):
            if pattern not in self._logged:
                self._logged.add(pattern)
                log.info("no audio is fetched for %s (--crawlers %s)", process.name, pattern)
            return True
        return False


def process_of(pid: int) -> Process | None:
    """Return the names of a thread's process; None when it can't be seen.

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
        # An update deletes the file of a running program.
        program = (thread / "exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        program = ""  # another user's process, or a kernel thread
    return Process(program, name)
