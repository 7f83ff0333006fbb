"""Listing a mountpoint all the time: it shows its folders, or fails as a dead mount.

An empty listing would make ``rsync --delete`` empty a backup. No fault of the server, nor one of a
plugin, may keep the root from being listed.

Threads: each watcher has one of its own, and writes its counts; they are read when it has ended.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time

from scripts.soaking.faulty_view import FaultyView
from scripts.soaking.model import DEAD_MOUNT_ERRORS, Model
from scripts.soaking.mounts import Mount

#: Folders that the root shows always, and the one of a source, which may be missing where a mount
#: with an empty cache came up while the server failed.
_VIEWS = {"by-date", "by-voice", "by-source", FaultyView.name}
_SOURCES = {"conversations"}
#: Seconds between two listings: of a mount that serves, and of one that is dead.
_PAUSE, _DEAD_PAUSE = 0.2, 0.002
#: Seconds by which the record of when a mount was dead may be late.
_SLACK = 0.5


class RootWatcher:
    """Lists a mountpoint in a thread until it is stopped.

    Args:
        mount: what to list.
        model: records violations.
    """

    def __init__(self, mount: Mount, model: Model) -> None:
        self._mount = mount
        self._model = model
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watcher {mount.number}")
        self._thread.daemon = True
        self._may_be_empty = not _replaces_without_gap()
        self._reported: set[str] = set()
        #: How many listings showed the folders, and how many failed as a dead mount's.
        self.served = self.dead = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the thread to end."""
        self._stopping.set()
        self._thread.join(self._model.call_timeout)
        if self._thread.is_alive():
            self._model.record_violation(f"listing {self._mount.path} does not return")

    def _run(self) -> None:
        dead = False
        while not self._stopping.wait(_DEAD_PAUSE if dead else _PAUSE):
            began = time.monotonic()
            names: set[str] = set()
            number = 0
            try:
                names = set(os.listdir(self._mount.path))
            except OSError as error:
                number = error.errno or -1
            ended = time.monotonic()
            down = self._mount.down_within(began - _SLACK, ended)
            dead = number in DEAD_MOUNT_ERRORS
            self.served += not number
            self.dead += dead
            wrong = self._violation(names, number, down)
            if wrong is None and ended - began > self._model.call_timeout:
                wrong = f"took {ended - began:.1f} s"
            if wrong is not None and wrong not in self._reported:
                self._reported.add(wrong)
                self._model.record_violation(f"listing {self._mount.path} {wrong}")

    def _violation(self, names: set[str], number: int, down: bool) -> str | None:
        """Return what is wrong with a listing; None when nothing is.

        Args:
            names: what it holds.
            number: the errno that it failed with; 0 when it did not.
            down: whether the mount was dead for a part of that time.
        """
        if number in DEAD_MOUNT_ERRORS and down:
            return None
        if number:
            return f"failed with {errno.errorcode.get(number, str(number))}"
        if not names and down and self._may_be_empty:
            return None
        missing = (_VIEWS if down else _VIEWS | _SOURCES) - names
        return f"lacks {sorted(missing)} of {sorted(names)}" if missing else None


def _replaces_without_gap() -> bool:
    """Say whether a dead mount can be replaced with no moment without a mount (Linux 6.5, root)."""
    numbers = re.findall(r"\d+", os.uname().release)
    return os.geteuid() == 0 and tuple(map(int, numbers[:2])) >= (6, 5)
