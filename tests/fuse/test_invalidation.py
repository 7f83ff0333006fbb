"""What the kernel is told to forget, by libfuse's answer and by its version."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from histfs.fuse.invalidation import PathInvalidation

FUSE = 0x1234


class Invalidate:
    """Stands for fuse_invalidate_path: returns `code`, and records its arguments."""

    def __init__(self, code=0):
        self.code, self.calls = code, []

    def __call__(self, fuse, path):
        self.calls.append((fuse, path))
        return self.code


def of(invalidate):
    invalidation = PathInvalidation(SimpleNamespace(fuse_invalidate_path=invalidate))
    invalidation.mounted(FUSE)
    return invalidation


def test_libfuse_is_given_the_mount_and_the_bytes_of_the_path():
    call = Invalidate()
    assert of(call).invalidate("/by-voice/é" + os.fsdecode(b"\xff"))
    assert call.calls == [(FUSE, "/by-voice/é".encode() + b"\xff")]


@pytest.mark.parametrize(
    ("code", "forgotten"),
    [(0, True), (-errno.ENOENT, True), (-errno.ENOSYS, False), (-errno.ENODEV, False)],
)
def test_a_path_that_nobody_knows_is_forgotten_and_one_that_the_kernel_refuses_is_not(
    code, forgotten
):
    assert of(Invalidate(code)).invalidate("/a") is forgotten


def test_libfuse_2_has_no_such_call():
    invalidation = PathInvalidation(SimpleNamespace())
    invalidation.mounted(FUSE)
    assert not invalidation.supported
    assert not invalidation.invalidate("/a")


def test_before_the_mount_nothing_is_called():
    call = Invalidate()
    invalidation = PathInvalidation(SimpleNamespace(fuse_invalidate_path=call))
    assert not invalidation.invalidate("/a")
    assert call.calls == []
