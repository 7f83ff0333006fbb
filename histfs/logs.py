"""The log of a process: to the terminal or the journal in the foreground, else to a file.

The file is bounded: at 1 MB it is renamed to ``histfs.log.1``, in place of the one before. Lines
that repeat too often are counted, see `histfs.core.log_rate_limit`.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

import platformdirs

from histfs.core.file_trust import distrust_directory, distrust_links
from histfs.core.log_rate_limit import LogRateLimit
from histfs.core.secret import Secret
from histfs.core.terminal_text import shown

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
#: The journal has the time, the process and the level of each line itself.
_JOURNAL_FORMAT = "%(name)s: %(message)s"
#: The priorities of syslog(3), by level: sd-daemon(3).
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_FILE_BYTES = 1 << 20


class _Formatter(logging.Formatter):
    """Escapes control characters in messages, which contain untrusted text, and removes the keys.

    Args:
        keys: the API keys; they are removed from tracebacks, too.
    """

    def __init__(self, keys: Sequence[Secret], template: str = _FORMAT) -> None:
        super().__init__(template)
        self._keys = keys

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        text = super().format(record)
        for key in self._keys:
            text = key.redact(text)
        return text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line of a record, before its traceback."""
        record.message = shown(record.message)
        return super().formatMessage(record)


class _JournalFormatter(_Formatter):
    """Begins each line with its priority, as sd-daemon(3) describes it.

    Args:
        keys: the API keys.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        super().__init__(keys, _JOURNAL_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        priority = _PRIORITIES.get(record.levelno, 2)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def log_file() -> Path:
    """Return the log file of processes in the background."""
    return platformdirs.user_log_path("histfs") / "histfs.log"


def start(foreground: bool, debug: bool, key: Secret, *, others: Sequence[Secret] = ()) -> None:
    """Configure the log of this process.

    Args:
        foreground: log to standard error instead of the file.
        debug: log everything, without a rate limit.
        key: the API key, which is removed from every line.
        others: the keys of other accounts, likewise.
    """
    # The timer of an earlier log would reopen its closed file.
    finish()
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if not foreground:
        handler = _file_handler() or logging.NullHandler()
    formatter = _JournalFormatter if foreground and _is_journal(sys.stderr) else _Formatter
    handler.setFormatter(formatter([key, *others]))
    if not debug:
        handler.addFilter(LogRateLimit(handler))
        # Called before logging's own function closes the handlers: atexit runs in reverse order.
        atexit.register(finish)
    logging.basicConfig(
        handlers=[handler], level=logging.DEBUG if debug else logging.INFO, force=True
    )
    # They log every retry, connection and failed call; histfs logs the result.
    for name in ("urllib3", "fuse", "mfusepy"):
        logging.getLogger(name).setLevel(logging.ERROR)


def finish() -> None:
    """Flush the counts that the rate limit holds back."""
    for handler in logging.getLogger().handlers:
        for each in handler.filters:
            if isinstance(each, LogRateLimit):
                each.flush()


def _is_journal(stream: TextIO) -> bool:
    """Say whether a stream goes to the journal of systemd, see systemd.exec(5) (JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file: a test's
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _file_handler() -> logging.Handler | None:
    """Return a handler for the log file; None, after a warning, if the file can't be used."""
    path = log_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refused = distrust_links(path) or distrust_directory(path.parent)
        if refused is not None:
            print(f"histfs: no log is written: {refused}", file=sys.stderr)
            return None
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        return RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=1)
    except OSError as error:
        print(f"histfs: no log is written: {path}: {error.strerror}", file=sys.stderr)
        return None
