"""A process that performs file operations on a mount, one at a time, until it is killed.

It reads operations as lines of JSON from standard input, and writes the outcome of each as a line
of JSON to standard output. It does not know what the outcome should be::

    {"operation": "walk", "root": DIR, "view": NAME, "deep": BOOL}     lists every directory
    {"operation": "read", "item": DIR, "file": "audio", "ranges": [[0.5, 0.1], …]}
    {"operation": "remove", "item": DIR, "whole": BOOL}                rm -r, or the audio alone
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from histfs.core.name_forms import is_audio_name

#: Bytes per read call; the kernel makes one or two requests of it.
_CHUNK = 1 << 16


class CallTimer:
    """Records the slowest system call, and the one that is under way.

    Attributes:
        slowest: its duration in seconds, and the name of the call.
        call: the name of the call that is, or was last, under way.
    """

    def __init__(self) -> None:
        self.slowest: tuple[float, str] = (0.0, "")
        self.call = ""

    @contextlib.contextmanager
    def __call__(self, call: str) -> Iterator[None]:
        """Time one system call, or a few that belong together."""
        self.call = call
        began = time.monotonic()
        try:
            yield
        finally:
            self.slowest = max(self.slowest, (time.monotonic() - began, call))


def walk(timer: CallTimer, root: str, view: str, deep: bool) -> dict[str, Any]:
    """List a view recursively; a directory that can't be listed has an errno instead of names.

    Args:
        timer: times the calls.
        root: the mountpoint.
        view: the top directory of the walk, relative to the mountpoint.
        deep: whether to list the directories of items as well.
    """
    listed: dict[str, list[str] | int] = {}
    pending = [view]
    while pending:
        path = pending.pop()
        try:
            with timer("listing"), os.scandir(f"{root}/{path}") as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            listed[path] = error.errno or 0
            continue
        listed[path] = [name for name, _ in found]
        holds_items = path.count("/") == (3 if view == "by-date" else 1)
        if deep or not holds_items:
            pending += [f"{path}/{name}" for name, is_directory in found if is_directory]
        elif found:
            # What `ls -l` does.
            with contextlib.suppress(FileNotFoundError), timer("stat"):
                os.lstat(f"{root}/{path}/{found[0][0]}")
    return {"listed": listed}


def read(
    timer: CallTimer, item: str, file: str, ranges: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Open a file of an item, and read parts of it.

    Args:
        timer: times the calls.
        item: the item's directory.
        file: the file's name without its suffix.
        ranges: start and length of each part, as fractions of the size that fstat returns.
    """
    with timer("listing"):
        names = [name for name in os.listdir(item) if name != "audio.srt"]
    name = next((name for name in names if name.startswith(f"{file}.")), None)
    if name is None:
        return {"absent": True}
    with timer("open"):
        descriptor = os.open(f"{item}/{name}", os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        pieces = []
        for start, length in ranges:
            offset = int(start * size)
            content = _read(timer, descriptor, offset, int(length * size))
            pieces.append((offset, len(content), hashlib.sha256(content).hexdigest()))
            time.sleep(0.005)
        return {"size": size, "pieces": pieces}
    finally:
        os.close(descriptor)


def _read(timer: CallTimer, descriptor: int, offset: int, size: int) -> bytes:
    content = b""
    while len(content) < size:
        with timer("read"):
            chunk = os.pread(descriptor, min(_CHUNK, size - len(content)), offset + len(content))
        if not chunk:
            break
        content += chunk
    return content


def remove(timer: CallTimer, item: str, whole: bool) -> dict[str, Any]:
    """Remove an item as ``rm -r`` does, or its audio alone.

    Args:
        timer: times the calls.
        item: the item's directory.
        whole: whether to remove the other files and the directory as well.
    """
    with timer("listing"):
        names = os.listdir(item)
    unlinked = False
    for name in names:
        if whole or is_audio_name(name):
            with timer("unlink"):
                os.unlink(f"{item}/{name}")  # noqa: PTH108 - one system call, no more
            unlinked |= is_audio_name(name)
    if whole:
        try:
            with timer("rmdir"):
                os.rmdir(item)  # noqa: PTH106
        except OSError as error:
            return {"unlinked": unlinked, "errno": error.errno, "call": "rmdir"}
    return {"unlinked": unlinked}


_OPERATIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "walk": walk,
    "read": read,
    "remove": remove,
}


def main() -> None:
    """Perform operations until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        operation, timer = _OPERATIONS[request.pop("operation")], CallTimer()
        began = time.monotonic()
        try:
            outcome = operation(timer, **request)
        except OSError as error:
            outcome = {"errno": error.errno, "call": timer.call}
        outcome |= {"began": began, "ended": time.monotonic(), "slowest": timer.slowest}
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
