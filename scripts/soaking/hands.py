"""A process that does what a program would do on a mount, one thing at a time, until it is killed.

It is told what to do by lines of JSON on standard input, and says what came of it by lines on
standard output. It judges nothing, and knows nothing of what should be there::

    {"do": "walk", "root": DIR, "view": NAME, "deep": BOOL}     lists every directory
    {"do": "read", "item": DIR, "file": "audio", "ranges": [[0.5, 0.1], …]}
    {"do": "remove", "item": DIR, "whole": BOOL}                rm -r, or the audio alone
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

#: Bytes that are asked for in one call; the kernel makes one request, or two, of that.
_PIECE = 1 << 16


class Clock:
    """Remembers the slowest call, and the one that is under way."""

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


def walk(clock: Clock, root: str, view: str, deep: bool) -> dict[str, Any]:
    """List a view; what can't be listed has an errno instead of names.

    Args:
        clock: times the calls.
        root: the mountpoint.
        view: the directory in it to begin with.
        deep: whether the directories of items are listed, and their files looked at.
    """
    listed: dict[str, list[str] | int] = {}
    left = [view]
    while left:
        path = left.pop()
        try:
            with clock("listing"), os.scandir(f"{root}/{path}") as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            listed[path] = error.errno or 0
            continue
        listed[path] = [name for name, _ in found]
        holds_items = path.count("/") == (3 if view == "by-date" else 1)
        if deep or not holds_items:
            left += [f"{path}/{name}" for name, is_directory in found if is_directory]
        elif found:
            # What `ls -l` does.
            with contextlib.suppress(FileNotFoundError), clock("stat"):
                os.lstat(f"{root}/{path}/{found[0][0]}")
    return {"listed": listed}


def read(clock: Clock, item: str, file: str, ranges: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Open a file of an item, and read parts of it.

    Args:
        clock: times the calls.
        item: its directory.
        file: the file's name without its extension.
        ranges: where each part begins and how long it is, as parts of the size that fstat tells.
    """
    with clock("listing"):
        name = next((name for name in os.listdir(item) if name.startswith(f"{file}.")), None)
    if name is None:
        return {"absent": True}
    with clock("open"):
        number = os.open(f"{item}/{name}", os.O_RDONLY)
    try:
        size = os.fstat(number).st_size
        pieces = []
        for start, length in ranges:
            offset = int(start * size)
            content = _read(clock, number, offset, int(length * size))
            pieces.append((offset, len(content), hashlib.sha256(content).hexdigest()))
            time.sleep(0.005)
        return {"size": size, "pieces": pieces}
    finally:
        os.close(number)


def _read(clock: Clock, number: int, offset: int, size: int) -> bytes:
    content = b""
    while len(content) < size:
        with clock("read"):
            piece = os.pread(number, min(_PIECE, size - len(content)), offset + len(content))
        if not piece:
            break
        content += piece
    return content


def remove(clock: Clock, item: str, whole: bool) -> dict[str, Any]:
    """Remove an item as ``rm -r`` does, or its audio alone.

    Args:
        clock: times the calls.
        item: its directory.
        whole: whether all of it is removed.
    """
    with clock("listing"):
        names = os.listdir(item)
    unlinked = False
    for name in names:
        if whole or name.startswith("audio."):
            with clock("unlink"):
                os.unlink(f"{item}/{name}")  # noqa: PTH108 - as it is, no more
            unlinked |= name.startswith("audio.")
    if whole:
        try:
            with clock("rmdir"):
                os.rmdir(item)  # noqa: PTH106
        except OSError as error:
            return {"unlinked": unlinked, "errno": error.errno, "call": "rmdir"}
    return {"unlinked": unlinked}


_DEEDS = {"walk": walk, "read": read, "remove": remove}


def main() -> None:
    """Do what is asked for until there is no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        deed, clock = _DEEDS[asked.pop("do")], Clock()
        began = time.monotonic()
        try:
            answer = deed(clock, **asked)
        except OSError as error:
            answer = {"errno": error.errno, "call": clock.call}
        answer |= {"began": began, "ended": time.monotonic(), "slowest": clock.slowest}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
