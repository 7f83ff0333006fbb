"""Recognise the programs that call the mount, and give each its class.

The kernel gives the id of the calling thread, and a thread may have a name of its own ("pool-3").
So the names of its process are compared: the program that it executes, the name of its first
thread, and the script where the program is an interpreter.

A program that serves a FUSE filesystem itself, on top of the mount, is an archiver unless a rule
says otherwise: the kernel reads no further than the size that it hands out.

A program that accepts TCP connections announces the size of a stat, and sends what it reads: a size
that is too large makes its client fail, and one that is too small cuts the clip without an error.

An answer is cached for a moment, by the thread and the program that it executes: a child of find(1)
looks at the mount before it executes cpio(1).

Threads: any number at once. `GenerationalCache` has its own lock. `CallingPrograms._logged` and
`_learnt` are sets; two threads may log the same rule once each.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from histfs.core.generational_cache import GenerationalCache
from histfs.core.programs import Process, ProgramClass, ProgramTable, Rule

#: Seconds for which an answer is cached: a backup opens one clip after another.
_TTL = 1.0
#: The rule for what serves a filesystem on top of the mount.
_LAYER = Rule("*", ProgramClass.ARCHIVER, origin="it serves a filesystem itself")
#: The device through which a program serves one.
_DEVICE = "/dev/fuse"
#: How /proc names a socket, and the state of one that accepts connections (net/tcp_states.h).
_SOCKET, _LISTENS = "socket:", "0A"
#: What the log says of a program of each class.
_TOLD = {
    ProgramClass.CRAWLER: "no audio is fetched for %s: it is a crawler by the rule %s",
    ProgramClass.ARCHIVER: "stat shows exact sizes to %s: it is an archiver by the rule %s",
    ProgramClass.PLAYER: "audio is given as it comes to %s: it is a player by the rule %s",
    ProgramClass.LISTENER: "audio is given as from a pipe to %s: it is a listener by the rule %s",
}

log = logging.getLogger(__name__)


class CallingPrograms:
    """The classes of calling programs.

    Args:
        table: the rules.
    """

    def __init__(self, table: ProgramTable) -> None:
        self._table = table
        self._logged: set[Rule] = set()
        self._learnt: set[tuple[str, ...]] = set()
        self._cache = GenerationalCache[tuple[int, str], ProgramClass](_TTL)
        self._servers = GenerationalCache[int, bool](_TTL)

    def is_server(self, pid: int) -> bool:
        """Say whether a process accepts TCP connections; False where it can't be seen.

        Args:
            pid: the id of any of its threads.
        """
        found = self._servers.get(pid)
        if found is None:
            found = serves_network(pid)
            self._servers.put(pid, found)
        return found

    def class_of(self, pid: int) -> ProgramClass:
        """Return the class of a process; the default one where it can't be seen.

        Args:
            pid: the id of any of its threads; 0 for one in another PID namespace.
        """
        if not self._table.rules and not self._learnt:
            return ProgramClass.DEFAULT
        key = pid, _executed(pid)
        found = self._cache.get(key)
        if found is None:
            found = self._look_up(pid)
            self._cache.put(key, found)
        return found

    def learn_archiver(self, process: Process) -> None:
        """Make a program an archiver that has read a file by an estimate of its size.

        Args:
            process: of the program; code without a name that an interpreter runs is left out.
        """
        if process.identity is not None:
            self._learnt.add(process.identity)

    def _look_up(self, pid: int) -> ProgramClass:
        process = process_of(pid)
        if process is None:
            return ProgramClass.DEFAULT
        rule = self._table.rule_for(process)
        if rule is None and process.identity in self._learnt:
            return ProgramClass.ARCHIVER
        if rule is None and serves_filesystem(pid):
            rule = _LAYER._replace(name=process.program or process.name)
        if rule is None:
            return ProgramClass.DEFAULT
        told = _TOLD.get(rule.program_class)
        if told is not None and rule not in self._logged:
            self._logged.add(rule)
            log.info(told, process.name, rule)
        return rule.program_class


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
        line = (thread / "cmdline").read_text(errors="replace")
    except (OSError, StopIteration):
        return None
    try:
        # An update deletes the file of a running program.
        program = (thread / "exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        program = ""  # another user's process, or a kernel thread
    return Process(program, name, tuple(line.split("\0")[:-1]))


def serves_filesystem(pid: int) -> bool:
    """Say whether a thread's process serves a FUSE filesystem; False where it can't be seen.

    Args:
        pid: the thread's id.
    """
    return _DEVICE in _open_files(pid)


def serves_network(pid: int) -> bool:
    """Say whether a thread's process accepts TCP connections; False where it can't be seen.

    Args:
        pid: the thread's id.
    """
    sockets = {each for each in _open_files(pid) if each.startswith(_SOCKET)}
    if not sockets:
        return False
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines = Path("/proc", str(pid), "net", table).read_text().splitlines()[1:]
            rows = map(str.split, lines)
            if any(row[3] == _LISTENS and f"{_SOCKET}[{row[9]}]" in sockets for row in rows):
                return True
    return False


def _open_files(pid: int) -> set[str]:
    """Return what a process has open, as /proc names it; nothing where it can't be seen."""
    folder, found = f"/proc/{pid}/fd", set()
    with contextlib.suppress(OSError):
        for number in os.listdir(folder):  # noqa: PTH208
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(f"{folder}/{number}"))  # noqa: PTH115
    return found


def _executed(pid: int) -> str:
    """Return what a thread executes: its program, or its name where the kernel hides that."""
    # Without a `Path`, which costs more than the system call: each stat of a clip asks.
    try:
        return os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
    except OSError:
        pass
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "comm").read_text(errors="replace")
    return ""
