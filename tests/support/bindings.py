"""Which FUSE libraries this machine has."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
from functools import cache
from pathlib import Path

BINDINGS = ["fusepy", "mfusepy"]

_NEEDS = {"fusepy": ("fuse", "fuse"), "mfusepy": ("mfusepy", "fuse3")}


@cache
def missing(binding: str) -> str | None:
    """Say what keeps a binding from being used; None when nothing does."""
    module, library = _NEEDS[binding]
    if importlib.util.find_spec(module) is None:
        return f"the Python module {module} is not installed"
    if ctypes.util.find_library(library) is None:
        return f"lib{library} is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) and not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    return None
