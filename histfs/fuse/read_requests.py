"""The read requests of programs, as the kernel shows them in /proc.

FUSE shows which pages the kernel wants, not what a program has asked for. /proc shows the system
call that a thread waits in, and the memory in which sendfile(2) has its offset (to root and, unless
Yama forbids it, to processes of the same user: ptrace(2)), and how many bytes a thread has read (to
processes of the same user).

Files are opened without a `Path` and without Python's buffers, which cost several times as much as
the system calls: this is done for each clip that a backup reads.

Threads: any number at once; there is no state.
"""

from __future__ import annotations

import os
import platform
import sys
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
#: More bytes than each of the files has that are read here.
_MOST = 4096


def read_request(thread: int) -> ReadRequest | None:
    """Return the request that a thread waits for; None where it can't be seen.

    Args:
        thread: its id.
    """
    process = f"/proc/{thread}"
    try:
        number, *arguments = read_proc(f"{process}/syscall").split()
        if _CALLS is None or not number.isdigit() or int(number) not in _CALLS:
            return None
        # The stack pointer and the program counter follow.
        first, second, third, fourth = (int(each, 16) for each in arguments[:4])
        call = int(number)
        if call == _CALLS.pread:
            return ReadRequest(fourth, third)
        if call == _CALLS.sendfile and third:
            return ReadRequest(_word(f"{process}/mem", third), fourth)
        file, size = (second, fourth) if call == _CALLS.sendfile else (first, third)
        return ReadRequest(_position(f"{process}/fdinfo/{file}"), size)
    except (OSError, ValueError, StopIteration):
        return None


def read_count(thread: int) -> ReadCount | None:
    """Return what a thread has read since it was started; None where it can't be seen.

    Args:
        thread: its id.
    """
    try:
        # "rchar: 1", "wchar: 2", "syscr: 3", ... (proc(5)), each in a line.
        _, read, _, _, _, calls, *_ = read_proc(f"/proc/{thread}/task/{thread}/io").split(None, 6)
        return ReadCount(int(read), int(calls))
    except (OSError, ValueError):
        return None


def read_proc(path: str, size: int = _MOST, offset: int = 0) -> bytes:
    """Return the bytes of a file of /proc.

    Args:
        path: of the file.
        size: the most bytes.
        offset: of the first one.

    Raises:
        OSError: it can't be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, size, offset)
    finally:
        os.close(file)


def _word(memory: str, address: int) -> int:
    """Return the 64-bit number at an address of a process."""
    return int.from_bytes(read_proc(memory, 8, address), sys.byteorder)


def _position(info: str) -> int:
    """Return the position of a file descriptor, from its fdinfo."""
    lines = read_proc(info).splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(b"pos:"))
