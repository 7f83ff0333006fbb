"""Repeated log lines are counted, and no kind of error is lost."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

from histfs.core import log_rate_limit
from histfs.core.log_rate_limit import MOST, SECONDS, LogRateLimit
from tests.support.clock import Clock
from tests.support.eventually import eventually


class Lines(logging.Handler):
    """A handler that stores its lines."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.levelname, record.getMessage()))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def log(lines, clock):
    rate_limit = LogRateLimit(lines, clock)
    lines.addFilter(rate_limit)
    log = logging.Logger("test")
    log.addHandler(lines)
    yield log
    rate_limit.flush()


def test_ten_thousand_lines_of_one_kind_become_a_few_and_a_count(log, lines, clock):
    for n in range(10_000):
        log.warning("open %r: %s", f"/{n}", OSError("gone"))
    assert len(lines.lines) == MOST
    clock.now += SECONDS
    log.info("else")
    assert lines.lines[-2:] == [
        ("WARNING", "… and 9,980 more like it within 10 s, the last: open '/9999': gone"),
        ("INFO", "else"),
    ]
    log.warning("open %r: %s", "/again", OSError("gone"))
    assert lines.lines[-1] == ("WARNING", "open '/again': gone")


def test_lines_of_another_kind_are_written_at_once(log, lines):
    for _ in range(100):
        log.warning("open %r: %s", "/a", OSError("gone"))
    before = len(lines.lines)
    log.warning("open %r: %s", "/a", ValueError("else"))
    log.error("open %r: %s", "/a", OSError("gone"))
    log.warning("read %r: %s", "/a", OSError("gone"))
    assert len(lines.lines) == before + 3


def test_infrequent_lines_are_all_written(log, lines, clock):
    for _ in range(50):
        log.info("now and then")
        clock.now += 1
    assert [text for _, text in lines.lines] == ["now and then"] * 50


def test_the_count_is_written_also_when_no_other_line_comes(log, lines, monkeypatch):
    monkeypatch.setattr(log_rate_limit, "SECONDS", 0.05)
    for _ in range(MOST + 5):
        log.warning("again")
    text = "… and 5 more like it within 0 s, the last: again"
    eventually(lambda: lines.lines[-1][1] == text, 10)


def test_any_number_of_kinds_takes_bounded_memory(log, lines):
    (rate_limit,) = lines.filters
    for n in range(2000):
        for _ in range(MOST + 1):
            log.warning(f"kind {n}")
        assert len(rate_limit._kinds) <= 256
    counts = [text for _, text in lines.lines if "1 more like it" in text]
    assert len(counts) >= 2000 - 256


def test_lines_of_many_threads_are_all_counted(log, lines):
    def write():
        for _ in range(500):
            log.warning("again")

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (rate_limit,) = lines.filters
    rate_limit.flush()
    assert len(lines.lines) == MOST + 1
    assert "3,980 more" in lines.lines[-1][1]


@pytest.mark.parametrize(("debug", "number"), [("False", MOST + 1), ("True", 1000)])
def test_the_count_is_written_at_the_end_of_the_process_and_debugging_writes_all_lines(
    debug, number
):
    script = f"""
import logging
from histfs import logs
from histfs.core.secret import Secret
logs.start(foreground=True, debug={debug}, key=Secret("k" * 20))
for n in range(1000):
    logging.getLogger("some").warning("line %d", n)
"""
    process = subprocess.run(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=True
    )
    written = process.stderr.splitlines()
    assert len(written) == number
    assert "line 999" in written[-1]
