"""The read requests of programs, as the kernel shows them in /proc.

FUSE shows which pages the kernel wants, not what a program has asked for. /proc shows the system
call that a thread waits in, and the memory in which sendfile(2) has its offset (to root and, unless
Yama forbids it, to processes of the same user: ptrace(2)), and how many bytes a thread has read (to
processes of the same user).

Threads: any number at once; there is no state.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import NamedTuple

from histfs.core.estimate_readers import ReadCount, ReadRequest


class _Calls(NamedTuple):
    """The numbers of the system calls that read, of one architecture."""

    read: int
    pread: int
    sendfile: int


# arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h
_GENERIC = _Calls(read=63, pread=67, sendfile=71)
_CALLS = {
    "x86_64": _Calls(read=0, pread=17, sendfile=40),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
}.get(platform.machine())


def read_request(thread: int) -> ReadRequest | None:
    """Return the request that a thread waits for; None where it can't be seen.

    Args:
        thread: its id.
    """
    process = Path("/proc", str(thread))
    try:
        number, *arguments = (process / "syscall").read_text().split()
        if _CALLS is None or not number.isdigit() or int(number) not in _CALLS:
            return None
        # The stack pointer and the program counter follow.
        first, second, third, fourth = (int(each, 16) for each in arguments[:4])
        call = int(number)
        if call == _CALLS.pread:
            return ReadRequest(fourth, third)
        if call == _CALLS.sendfile and third:
            return ReadRequest(_word(process / "mem", third), fourth)
        file, size = (second, fourth) if call == _CALLS.sendfile else (first, third)
        return ReadRequest(_position(process / "fdinfo" / str(file)), size)
    except (OSError, ValueError, StopIteration):
        return None


def read_count(thread: int) -> ReadCount | None:
    """Return what a thread has read since it was started; None where it can't be seen.

    Args:
        thread: its id.
    """
    try:
        text = Path("/proc", str(thread), "task", str(thread), "io").read_text()
        counts = dict(line.split(": ") for line in text.splitlines())
        return ReadCount(int(counts["rchar"]), int(counts["syscr"]))
    except (OSError, KeyError):
        return None


def _word(memory: Path, address: int) -> int:
    """Return the 64-bit number at an address of a process."""
    with memory.open("rb", buffering=0) as file:
        file.seek(address)
        return int.from_bytes(file.read(8), sys.byteorder)


def _position(info: Path) -> int:
    """Return the position of a file descriptor, from its fdinfo."""
    lines = info.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("pos:"))
