"""Reads of small inputs are bounded in time and in bytes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from histfs.core.bounded_input import InputFailed, opened, read_all


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    return path


def content(path: Path, seconds: float = 5.0, largest: int = 1024) -> bytes:
    with opened(path) as descriptor:
        return read_all(descriptor, seconds, largest)


def test_a_file_is_read_completely(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1024)
    assert content(file) == b"x" * 1024
    file.write_bytes(b"x" * 1025)
    with pytest.raises(InputFailed, match="longer than 1 KB"):
        content(file)


def test_a_pipe_is_read_as_soon_as_there_is_a_writer(pipe):
    def write():
        time.sleep(0.2)
        with pipe.open("wb", buffering=0) as file:
            for chunk in (b"sk_", b"key\n"):
                file.write(chunk)
                time.sleep(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    assert content(pipe) == b"sk_key\n"
    writer.join()


@pytest.mark.parametrize("has_writer", [False, True], ids=["no writer", "a silent writer"])
def test_a_pipe_without_an_end_times_out(pipe, has_writer):
    writer = os.open(pipe, os.O_RDWR) if has_writer else None
    began = time.monotonic()
    with pytest.raises(InputFailed, match="within 0 seconds"):
        content(pipe, seconds=0.3)
    assert time.monotonic() - began < 3
    if writer is not None:
        os.close(writer)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/tty0", "/"])
def test_devices_and_directories_are_not_read(path):
    with pytest.raises((InputFailed, OSError)):
        content(Path(path))
