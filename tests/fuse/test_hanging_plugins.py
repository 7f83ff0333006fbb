"""Plugins that never return, in a real mount: they are left out, and the rest goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.mounts import mounted
from tests.support.packages import add_package

pytestmark = pytest.mark.fuse

#: Seconds that a call may take, by which one may end too late, and of an answer at once.
TIMEOUT, LATE, AT_ONCE = 4, 3, 1.5

VIEW = """
import time
from histfs.core.views import ByRule

def forever():
    while True:
        time.sleep(1)

class Hangs(ByRule):
    name = "by-hang"
    where = {where!r}

    def directory(self, item, index):
        return "all"

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name == object.__getattribute__(self, "where"):
            return lambda *_: forever()
        return found

class Half(Hangs):
    def items(self, at, index):
        for item in super().items(at, index):
            yield item
            forever()
"""
SOURCE = """
import time
from histfs.core.source import Traits

class Hangs:
    traits = Traits()

    def __init__(self, account):
        pass

    def forever(self, *_):
        while True:
            time.sleep(1)

    list = get = delete = audio = describe = close = forever
"""
FILE = """
import time
from histfs.core.files import Rendered

class Hangs(Rendered):
    name = "hangs.txt"

    def render(self, details):
        return b"it"

    def {method}(self, *_):
        while True:
            time.sleep(1)
"""


def package(directory, name, points, module):
    add_package(directory / "site", name, points, module)
    return {"PYTHONPATH": str(directory / "site")}


def timed(call, *arguments):
    """Return the name of the error that a call ends with, and the seconds it took."""
    begun, failed = time.monotonic(), None
    try:
        call(*arguments)
    except OSError as error:
        failed = errno.errorcode[error.errno]
    return failed, time.monotonic() - begun


@pytest.mark.parametrize(
    ("where", "point", "directory"),
    [
        ("ensure", "Hangs", "by-hang"),
        ("", "Half", "by-hang/all"),
    ],
    ids=["at once", "in the middle"],
)
def test_a_view_that_never_returns_is_left_out(
    simulator, tmp_path, binding, where, point, directory
):
    module = VIEW.format(where=where)
    env = package(tmp_path, "hanging", {"histfs.views": {"by-hang": f"hanging:{point}"}}, module)
    with mounted(simulator, tmp_path, binding, "--timeout", TIMEOUT, env=env) as mount:
        assert len(mount.items()) == 60
        failed, took = timed(os.listdir, mount.path / directory)
        assert failed in ("EIO", "ETIMEDOUT")
        assert took < TIMEOUT + LATE
        time.sleep(1)
        for _ in range(3):
            failed, took = timed(os.listdir, mount.path / directory)
            assert (failed, took < AT_ONCE) == ("EIO", True)
        assert len(mount.items()) == len(mount.items("by-voice")) == 60
        status = json.loads((mount.path / ".histfs").read_bytes())
        assert len(status["left_out"]) == 1
        begun = time.monotonic()
        shutil.rmtree(mount.items()[0])
        assert time.monotonic() - begun < TIMEOUT
        assert len(mount.items()) == 59
        lines = [line for line in mount.log.read_text().splitlines() if "has not returned" in line]
        assert sum("by-hang of hanging 1.5 is disabled" in line for line in lines) >= 1


def test_rm_ends_though_a_view_never_says_where_an_item_is(simulator, tmp_path, binding):
    env = package(
        tmp_path,
        "hanging",
        {"histfs.views": {"by-hang": "hanging:Hangs"}},
        VIEW.format(where="places"),
    )
    with mounted(simulator, tmp_path, binding, "--timeout", TIMEOUT, env=env) as mount:
        begun = time.monotonic()
        shutil.rmtree(mount.items()[0])
        assert time.monotonic() - begun < TIMEOUT + LATE
        begun = time.monotonic()
        shutil.rmtree(mount.items()[0])
        assert time.monotonic() - begun < TIMEOUT / 2
        assert len(mount.items()) == 58


def test_a_process_that_waits_for_a_view_can_be_interrupted(simulator, tmp_path, binding):
    env = package(
        tmp_path,
        "hanging",
        {"histfs.views": {"by-hang": "hanging:Hangs"}},
        VIEW.format(where="ensure"),
    )
    with mounted(simulator, tmp_path, binding, "--timeout", 60, env=env) as mount:
        line = ["ls", mount.path / "by-hang"]
        readers = [subprocess.Popen(line, stdout=subprocess.DEVNULL) for _ in range(5)]
        time.sleep(1)
        assert [reader.poll() for reader in readers] == [None] * 5
        assert len(mount.items()) == 60
        for reader in readers:
            reader.send_signal(signal.SIGINT)
        assert [reader.wait(5) for reader in readers] == [-signal.SIGINT] * 5


@pytest.mark.parametrize("method", ["size", "open"])
def test_a_file_that_never_returns_is_left_out(simulator, tmp_path, binding, method):
    module = FILE.format(method=method)
    env = package(tmp_path, "hanging", {"histfs.files": {"hangs": "hanging:Hangs"}}, module)
    with mounted(simulator, tmp_path, binding, "--timeout", TIMEOUT, env=env) as mount:
        item, other, *_ = mount.items()

        def call(path):
            (path / "hangs.txt").read_text()

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(timed, call, item) for _ in range(2)]
            # Nobody else waits meanwhile for what the file is not asked for.
            assert timed(os.listdir, mount.path / "by-voice")[1] < AT_ONCE
            assert all(each.result()[1] < TIMEOUT + LATE for each in asked)
        time.sleep(1)
        failed, took = timed(call, other)
        assert failed == "EIO"
        assert took < AT_ONCE
        # What was listed is listed still: a backup must not lose it.
        assert "hangs.txt" in os.listdir(item)
        assert (item / "text.txt").read_text()
        assert len(next(item.glob("audio.[!s]*")).read_bytes()) > 1000
        begun = time.monotonic()
        shutil.rmtree(other)
        assert time.monotonic() - begun < TIMEOUT
        assert len(mount.items()) == 59


def test_a_source_that_never_returns_keeps_its_folder_to_itself(simulator, tmp_path, binding):
    env = package(tmp_path, "hanging", {"histfs.sources": {"hangs": "hanging:Hangs"}}, SOURCE)
    with mounted(simulator, tmp_path, binding, "--timeout", TIMEOUT, env=env) as mount:
        failed, took = timed(os.listdir, mount.path / "hangs/by-date")
        assert failed is not None
        assert took < TIMEOUT + LATE
        assert len(mount.items()) == 60
        # It ends in time, though the source can't be closed: `mounted` waits for that.
