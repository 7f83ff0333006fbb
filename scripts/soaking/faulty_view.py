"""A view plugin that fails on demand; see `scripts.soaking.view_faults`, which installs it.

A file tells which method fails, and how. This module is copied to where the mount finds plugins, so
it imports nothing of the soak.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.views import ByRule, View

#: The environment variable that names the file with the fault that is in force.
CONTROL_VARIABLE = "SOAK_VIEW_FAULT"
#: The methods that can fail: those of every view, and the rule of this one.
METHODS = (
    *(name for name, value in vars(View).items() if callable(value) and not name.startswith("_")),
    "directory",
)
#: What a method can do: never return while the fault is in force, or raise.
HANG = "hang"
EXCEPTIONS: dict[str, type[BaseException]] = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "RuntimeError": RuntimeError,
}
#: Seconds between two looks at the file while a method hangs.
_POLL = 0.1


class FaultyView(ByRule):
    """Shows each item under the month in which it was made."""

    name = "by-fault"

    def directory(self, item: Item, index: Index) -> str:
        """Return the local month in which an item was made."""
        return self.zone.stamp(item.date)[:7]


def _fault_of(method: str) -> str | None:
    """Return what a method is to do instead of its work; None for nothing."""
    try:
        fault = json.loads(Path(os.environ[CONTROL_VARIABLE]).read_bytes())
    except FileNotFoundError:
        return None
    return str(fault["action"]) if fault["method"] == method else None


def _failing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: object) -> Any:  # noqa: ANN401 - whatever the method returns
        while (action := _fault_of(name)) is not None:
            if action != HANG:
                raise EXCEPTIONS[action]("injected by the soak")
            time.sleep(_POLL)
        return method(*args)

    return call


for _name in METHODS:
    setattr(FaultyView, _name, _failing(_name, getattr(FaultyView, _name)))
