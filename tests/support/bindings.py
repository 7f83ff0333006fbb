"""The FUSE bindings of the tests, and which of them this machine can use."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest

#: The first one is used everywhere, the others everywhere with ``--all``.
BINDINGS = ["mfusepy", "fusepy"]
#: What runs on libfuse 2; `test_libfuse2` mounts with each.
ON_LIBFUSE_2 = ["fusepy", "mfusepy on libfuse 2"]

#: For each binding its Python module, the libraries of which one is needed, and the variables that
#: choose it.
_NEEDS = {
    "mfusepy": ("mfusepy", ("fuse3", "fuse"), {"HISTFS_FUSE": "mfusepy"}),
    "fusepy": ("fuse", ("fuse",), {"HISTFS_FUSE": "fusepy"}),
    "mfusepy on libfuse 2": (
        "mfusepy", ("fuse",), {"HISTFS_FUSE": "mfusepy", "FUSE_LIBRARY_NAME": "fuse"},
    ),
}  # fmt: skip


def variables(binding: str) -> dict[str, str]:
    """Return the environment variables that make histfs use a binding."""
    return _NEEDS[binding][2]


def available(binding: str) -> str:
    """Return a binding; skip the test where it can't be used, or fail where FUSE is required."""
    reason = missing(binding)
    if reason and os.environ.get("HISTFS_REQUIRE_FUSE") == "1":
        pytest.fail(f"{binding} is required and can't be used: {reason}")
    if reason:
        pytest.skip(f"{binding}: {reason}")
    return binding


@cache
def missing(binding: str) -> str | None:
    """Return what keeps a binding from being used; None when nothing does."""
    module, libraries, _ = _NEEDS[binding]
    if importlib.util.find_spec(module) is None:
        return f"the Python module {module} is not installed"
    if not any(map(ctypes.util.find_library, libraries)):
        return f"lib{libraries[0]} is not installed"
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    return None
