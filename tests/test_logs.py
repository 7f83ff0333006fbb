"""Where the log goes."""

from __future__ import annotations

import logging
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
