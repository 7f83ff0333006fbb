"""Hundreds of calls wait for a silent server; what is in memory is answered meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import mounted

pytestmark = pytest.mark.fuse

#: Calls that wait at the same time, and the seconds after which they time out.
WAITING, TIMEOUT = 600, 12
#: Seconds within which an answer from memory comes, and by which a call may end too late. A call
#: that waits for a free thread takes TIMEOUT or more.
AT_ONCE, LATE = 10.0, 6.0


class Opens:
    """Threads that each open a file and note how long that took, in seconds."""

    def __init__(self, paths):
        self.took = []
        self._threads = [threading.Thread(target=self._open, args=(path,)) for path in paths]
        for thread in self._threads:
            thread.start()

    def _open(self, path):
        begun = time.monotonic()
        # The few that were asked for may end with the error of their request.
        with pytest.raises(OSError, match=r"\[Errno (5|11|110)\]"):
            os.open(path, os.O_RDONLY)
        self.took.append(time.monotonic() - begun)

    def join(self):
        for thread in self._threads:
            thread.join(10 * TIMEOUT)


def answers(text, directory, clip):
    """Read a text, list a directory and read a clip, all known; return the seconds it took."""
    begun = time.monotonic()
    subprocess.run(["cat", text], check=True, stdout=subprocess.DEVNULL, timeout=5 * TIMEOUT)
    assert os.listdir(directory)
    assert len(clip.read_bytes()) > 1000
    return time.monotonic() - begun


def test_calls_that_wait_hold_up_nothing_that_is_known(tmp_path, binding):
    with (
        Simulator(SimulatorSettings(items=WAITING + 10, days=5)) as simulator,
        mounted(simulator, tmp_path, binding, "--timeout", TIMEOUT) as mount,
    ):
        known, interrupted, *unknown = mount.audio()
        known.read_bytes()
        text, day = known.parent / "text.txt", known.parent.parent
        text.read_bytes()
        simulator.faults.add(Fault("/audio", "hang"))
        opens = Opens(unknown[:WAITING])
        try:
            time.sleep(1)
            assert answers(text, day, known) < AT_ONCE
            reader = subprocess.Popen(["cat", interrupted], stdout=subprocess.DEVNULL)
            time.sleep(0.5)
            assert reader.poll() is None
            reader.send_signal(signal.SIGINT)
            assert reader.wait(AT_ONCE) == -signal.SIGINT
            assert answers(text, day, known) < AT_ONCE
        finally:
            opens.join()
        assert len(opens.took) == WAITING
        assert min(opens.took) > TIMEOUT / 2
        assert max(opens.took) < TIMEOUT + LATE


def test_a_read_that_times_out_waits_once(tmp_path, simulator, binding):
    timeout = LATE + 1  # so that waiting twice takes longer than the test allows
    with mounted(simulator, tmp_path, binding, "--timeout", timeout) as mount:
        clip = mount.audio()[0]
        clip.read_bytes()  # its size is kept, its bytes are not
        clips = tmp_path / "cache"
        eventually(lambda: [each.unlink() or each for each in clips.glob("*/audio/*/*")])
        simulator.faults.add(Fault("/audio", "hang"))
        file = os.open(clip, os.O_RDONLY)
        begun = time.monotonic()
        try:
            with pytest.raises(OSError, match=r"\[Errno (5|110)\]"):
                os.read(file, 1 << 20)
            assert timeout / 2 < time.monotonic() - begun < timeout + LATE
        finally:
            os.close(file)
