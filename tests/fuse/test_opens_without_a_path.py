"""Cold clips opened by what the kernel can't look up anew: a descriptor or a file handle."""

from __future__ import annotations

import ctypes
import os
import time

import pytest

from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)


class FileHandle(ctypes.Structure):
    """struct file_handle of name_to_handle_at(2)."""

    _fields_ = [
        ("size", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("bytes", ctypes.c_ubyte * 128),
    ]


def by_descriptor(audio, root):
    """Open a file as Samba and systemd do: by /proc/self/fd of a descriptor with O_PATH."""
    found = os.open(audio, os.O_PATH)
    try:
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY)
    finally:
        os.close(found)


def by_handle(audio, root):
    """Open a file as an NFS server does: by open_by_handle_at(2)."""
    if os.geteuid() != 0:
        pytest.skip("root alone may open by a handle")
    handle, mount_id = FileHandle(128), ctypes.c_int()
    name = os.fsencode(audio)
    found = LIBC.name_to_handle_at(AT_FDCWD, name, ctypes.byref(handle), ctypes.byref(mount_id), 0)
    assert found == 0, os.strerror(ctypes.get_errno())
    opened = LIBC.open_by_handle_at(root, ctypes.byref(handle), os.O_RDONLY)
    if opened < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return opened


def read_to_the_end(opened):
    with open(opened, "rb", buffering=0, closefd=False) as file:
        return file.read()


def read_what_fstat_shows(opened):
    return os.pread(opened, os.fstat(opened).st_size, 0)


def read_what_lseek_finds(opened):
    return os.pread(opened, os.lseek(opened, 0, os.SEEK_END), 0)


@pytest.mark.parametrize("open_", [by_descriptor, by_handle])
@pytest.mark.parametrize(
    "read", [read_to_the_end, read_what_fstat_shows, read_what_lseek_finds],
)  # fmt: skip
def test_a_cold_clip_is_whole_that_was_opened_without_a_path(
    simulator, tmp_path, binding, open_, read
):
    with mounted(simulator, tmp_path, binding) as mount:
        root = os.open(mount.path, os.O_RDONLY)
        try:
            estimated = 0
            for audio in mount.audio()[:20]:
                clip = bytes(simulator.library.clip(id_of(audio.parent)))
                estimated += audio.stat().st_size != len(clip)
                opened = open_(audio, root)
                assert read(opened) == clip
                os.close(opened)
            assert estimated, "else nothing is tried"
        finally:
            os.close(root)


def test_the_kernel_is_told_of_the_size_where_libfuse_can(simulator, tmp_path, binding):
    """sendfile(2) takes the kernel's size, which nothing asks for anew."""
    with mounted(simulator, tmp_path, binding) as mount:
        if "libfuse 2." in mount.log.read_text():
            pytest.skip("libfuse 2 can't invalidate by path")
        copy = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
        waited, estimated = 0.0, 0
        for audio in mount.audio()[:20]:
            clip = bytes(simulator.library.clip(id_of(audio.parent)))
            estimated += audio.stat().st_size != len(clip)
            begun = time.monotonic()
            opened = by_descriptor(audio, None)
            waited = max(waited, time.monotonic() - begun)
            os.ftruncate(copy, 0)
            os.lseek(copy, 0, os.SEEK_SET)
            while os.sendfile(copy, opened, None, 1 << 24):
                pass
            assert os.pread(copy, len(clip) + 1, 0) == clip
            os.close(opened)
        os.close(copy)
        assert estimated
        assert waited < 1.0, "no open waits until the kernel's attributes are too old"
