"""What the bars of a terminal show: the time left, and that nothing comes."""

from __future__ import annotations

import time

from histfs.cli import progress_bars
from histfs.cli.progress_bars import BarDisplay, _TimeColumn


def test_a_bar_shows_the_time_left_and_when_nothing_comes(monkeypatch):
    display = BarDisplay()
    display.begin("Audio", 10)
    for done in (1, 2, 3):
        time.sleep(0.02)
        display.update(done)
    (task,) = display._progress.tasks
    assert "left" in _TimeColumn().render(task).plain
    monkeypatch.setattr(progress_bars, "_IDLE", 0.05)
    time.sleep(0.1)
    assert "nothing new for 0 s" in _TimeColumn().render(task).plain
