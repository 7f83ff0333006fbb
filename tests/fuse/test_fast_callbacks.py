"""The bytes of a struct stat, packed at once, are what its fields would make."""

from __future__ import annotations

import ctypes
import os

import pytest

from histfs.fuse.fast_callbacks import StatPacker

ATTRIBUTES = {
    "st_mode": 0o100644,
    "st_ino": (1 << 63) - 1,
    "st_nlink": 3,
    "st_size": 5 << 32,
    "st_blocks": 10 << 23,
    "st_uid": 0xFFFF_FFFE,
    "st_gid": 100,
    "st_mtime": -1,
    "st_ctime": 1_700_000_000_123_456_789,
    "st_atime": 7,
}


class Time(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


class OtherOrder(ctypes.Structure):
    """As on a machine that has the inode at the end, and gaps."""

    _fields_ = [
        ("st_mode", ctypes.c_uint16),
        ("st_atimespec", Time),
        ("st_uid", ctypes.c_uint32),
        ("st_gid", ctypes.c_uint32),
        ("st_blocks", ctypes.c_int64),
        ("st_mtimespec", Time),
        ("st_nlink", ctypes.c_uint16),
        ("st_ctimespec", Time),
        ("st_size", ctypes.c_int64),
        ("st_ino", ctypes.c_uint64),
    ]


def layout(name):
    return OtherOrder if name == "other" else pytest.importorskip(name).c_stat


@pytest.mark.parametrize("name", ["mfusepy", "fuse", "other"])
@pytest.mark.parametrize("same", [True, False])
def test_each_field_has_its_value_and_all_other_bytes_are_zero(name, same):
    try:
        kind = layout(name)
    except OSError as error:  # the library is missing
        pytest.skip(str(error))
    times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), 12_345_678_901)
    attributes = ATTRIBUTES | times if same else ATTRIBUTES
    packed = StatPacker(kind).pack(attributes)
    wanted = kind()
    for field, value in attributes.items():
        if field.endswith("time"):
            moment = getattr(wanted, f"{field}spec")
            moment.tv_sec, moment.tv_nsec = divmod(value, 10**9)
        else:
            setattr(wanted, field, value)
    assert packed.hex() == bytes(wanted).hex()


def test_what_a_real_struct_has_comes_back():
    found = os.stat(__file__)
    attributes = {name: getattr(found, name) for name in ATTRIBUTES if not name.endswith("time")}
    attributes |= {name: found.st_mtime_ns for name in ATTRIBUTES if name.endswith("time")}
    kind = layout("mfusepy")
    entry = kind.from_buffer_copy(StatPacker(kind).pack(attributes))
    assert (entry.st_ino, entry.st_size) == (found.st_ino, found.st_size)
    assert entry.st_mtimespec.tv_sec == int(found.st_mtime)
