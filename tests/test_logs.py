"""Where the log goes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

from histfs import logs
from histfs.core.log_rate_limit import MOST
from histfs.core.secret import Secret
from tests.support.eventually import eventually


def test_a_log_that_is_replaced_has_its_last_lines_and_is_not_opened_again():
    root = logging.getLogger()
    handlers, level, threads = list(root.handlers), root.level, threading.active_count()
    root.handlers = []
    key = Secret("k" * 20)
    try:
        logs.start(foreground=False, debug=False, key=key)
        for number in range(MOST + 3):
            logging.getLogger("some").warning("line %d", number)
        logs.start(foreground=True, debug=False, key=key)
        eventually(lambda: threading.active_count() == threads)
        assert "3 more like it" in logs.log_file().read_text()
    finally:
        logs.finish()
        root.handlers = handlers
        root.setLevel(level)


SCRIPT = """
import logging
from histfs import logs
from histfs.core.secret import Secret
logs.start(foreground=True, debug=False, key=Secret("k" * 20))
logging.getLogger("some").warning("a line")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("some").exception("it failed")
"""


def run(tmp_path, journal):
    """Run a process whose standard error is a file, which may be the journal."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        variables = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + (not journal)}"}
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            stderr=stream,
            env={**os.environ, **variables},
            check=True,
        )
        stream.seek(0)
        return stream.read().splitlines()


def test_lines_to_the_journal_have_a_priority_and_no_time_of_their_own(tmp_path):
    first, second, *rest = run(tmp_path, journal=True)
    assert (first, second) == ("<4>some: a line", "<3>some: it failed")
    assert rest
    assert all(line.startswith("<3>") for line in rest)


def test_lines_to_another_stream_have_their_time(tmp_path):
    lines = run(tmp_path, journal=False)
    assert lines[0].startswith("2")
    assert lines[0].endswith(" WARNING some: a line")
