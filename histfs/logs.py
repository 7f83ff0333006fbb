"""Where the log goes: to the terminal in the foreground, to a file in the background."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs

from histfs.core.file_trust import distrust_directory, distrust_links
from histfs.core.log_rate_limit import LogRateLimit
from histfs.core.secret import Secret
from histfs.core.terminal_text import shown

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_FILE_BYTES = 1 << 20


class _Formatter(logging.Formatter):
    """Makes each message one line that a terminal shows as it is: parts of it are a stranger's.

    Args:
        keys: what no line shows, traceback or not.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        super().__init__(_FORMAT)
        self._keys = keys

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        text = super().format(record)
        for key in self._keys:
            text = key.redact(text)
        return text

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line of a record, without the traceback that may follow."""
        record.message = shown(record.message)
        return super().formatMessage(record)


def log_file() -> Path:
    """Return the log file of the mounts in the background."""
    return platformdirs.user_log_path("histfs") / "histfs.log"


def start(foreground: bool, debug: bool, key: Secret, *, others: Sequence[Secret] = ()) -> None:
    """Send the log of this process where it belongs.

    Args:
        foreground: whether somebody watches the terminal.
        debug: whether to tell everything.
        key: the API key, which is kept out of it whoever logs it.
        others: the same for those of other accounts.
    """
    # The timer of an earlier log would write to a file that is closed now, and open it again.
    finish()
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if not foreground:
        handler = _file_handler() or logging.NullHandler()
    handler.setFormatter(_Formatter([key, *others]))
    if not debug:
        handler.addFilter(LogRateLimit(handler))
        # Before logging closes the handlers: what is registered later is called first.
        atexit.register(finish)
    logging.basicConfig(
        handlers=[handler], level=logging.DEBUG if debug else logging.INFO, force=True
    )
    # Each retry, each new connection, each refused call is a line of theirs; ours say what matters.
    for name in ("urllib3", "fuse", "mfusepy"):
        logging.getLogger(name).setLevel(logging.ERROR)


def finish() -> None:
    """Write what was held back: the log ends."""
    for handler in logging.getLogger().handlers:
        for each in handler.filters:
            if isinstance(each, LogRateLimit):
                each.flush()


def _file_handler() -> logging.Handler | None:
    """Return a handler for the log file; a mount without a log is better than none."""
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
