"""Standard output for what strangers wrote: raw into a pipe or a file, harmless on a terminal."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Iterator

import click

from histfs.cli.error_reporting import Refused
from histfs.core.terminal_text import shown


class OutputFailed(click.ClickException):
    """Standard output can't be written: there is no use in going on."""


class Output:
    """Where a command writes names, and the bytes of files.

    Like ls(1) and find(1) it escapes what a terminal would obey on a terminal alone.
    """

    def __init__(self) -> None:
        self._stream = sys.stdout.buffer
        self._terminal = sys.stdout.isatty()

    def line(self, text: str) -> None:
        """Write a line."""
        self._write(f"{shown(text) if self._terminal else text}\n".encode("utf-8", "replace"))

    def copy(self, pieces: Iterable[bytes]) -> None:
        """Write the bytes of a file as they come.

        Raises:
            Refused: they are no text, and would go to a terminal.
        """
        for piece in _legible(pieces) if self._terminal else pieces:
            self._write(piece)
        self.flush()

    def flush(self) -> None:
        """See to it that all is written."""
        with _failing():
            self._stream.flush()

    def _write(self, piece: bytes) -> None:
        with _failing():
            self._stream.write(piece)


def _legible(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield text with escapes for what a terminal would obey."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    for piece in pieces:
        try:
            text = decode(piece)
        except UnicodeDecodeError:
            raise Refused("no text for a terminal: send it to a file or a program") from None
        lines = ("\t".join(map(shown, line.split("\t"))) for line in text.split("\n"))
        yield "\n".join(lines).encode()


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """End the command when its output can't be written; quietly when nobody reads it any more."""
    try:
        yield
    except OSError as error:
        # What is left in the stream must not fail once more when Python ends.
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            raise click.exceptions.Exit(1) from None
        raise OutputFailed(f"the output can't be written: {error.strerror}") from error
