"""Standard output for untrusted text: unchanged into a pipe or a file, escaped on a terminal."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import posixpath
import sys
from collections.abc import Iterable, Iterator

import click

from histfs.cli.error_reporting import Refused
from histfs.core.name_forms import is_audio_name
from histfs.core.terminal_text import shown


class OutputFailed(click.ClickException):
    """Standard output can't be written; the command ends."""


class Output:
    """The standard output of a command that prints names or files.

    Like ls(1) and find(1) it escapes control characters only if it is a terminal.
    """

    def __init__(self) -> None:
        self._stream = sys.stdout.buffer
        self._terminal = sys.stdout.isatty()

    def line(self, text: str) -> None:
        """Write a line."""
        self._write(f"{shown(text) if self._terminal else text}\n".encode("utf-8", "replace"))

    def copy(self, chunks: Iterable[bytes]) -> None:
        """Write the chunks of a file as they arrive.

        Raises:
            Refused: the output is a terminal, and the file is not text.
        """
        for chunk in _escape(chunks) if self._terminal else chunks:
            self._write(chunk)
            # A player that reads the pipe waits for the first bytes.
            self.flush()

    def refuse_audio(self, path: str) -> None:
        """Refuse to print audio on a terminal, before any of it is fetched.

        Args:
            path: of a file of the tree.

        Raises:
            Refused: the output is a terminal, and the file is audio.
        """
        name = posixpath.basename(path)
        if self._terminal and is_audio_name(name):
            extension = name.partition(".")[2]
            raise Refused(
                f"it is audio: redirect it (> clip.{extension}) or pipe it into a player (| mpv -)"
            )

    def flush(self) -> None:
        """Write the buffered output."""
        with _end_on_failure():
            self._stream.flush()

    def _write(self, chunk: bytes) -> None:
        with _end_on_failure():
            self._stream.write(chunk)


def _escape(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield UTF-8 text with its control characters escaped, but newlines and tabs."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    for chunk in chunks:
        try:
            text = decode(chunk)
        except UnicodeDecodeError:
            raise Refused(
                "it is not text: redirect it (> FILE) or pipe it into a program"
            ) from None
        lines = ("\t".join(map(shown, line.split("\t"))) for line in text.split("\n"))
        yield "\n".join(lines).encode()


@contextlib.contextmanager
def _end_on_failure() -> Iterator[None]:
    """End the command if its output can't be written; silently if the reader closed the pipe."""
    try:
        yield
    except OSError as error:
        # Python flushes the stream again at exit: that must not fail.
        with contextlib.suppress(OSError), open(os.devnull, "wb") as null:  # noqa: PTH123
            os.dup2(null.fileno(), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            raise click.exceptions.Exit(1) from None
        raise OutputFailed(f"the output can't be written: {error.strerror}") from error
