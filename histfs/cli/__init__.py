"""The command line: `main`, and the names of the commands.

``histfs play`` of clips in a mount needs little more than this module: see `histfs.cli.quick_play`.
"""

from __future__ import annotations

import atexit
import gc
import sys

#: Each command and its line in ``histfs --help``. `histfs.cli.NAME` has a function of that name.
COMMANDS = {
    "cache": "Check the audio cache on this machine.",
    "cat": "Print files of your history, without a mount.",
    "config": "Show the settings, and edit the file that holds them.",
    "doctor": "Check the requirements of a mount.",
    "export": "Copy your history to DEST, a folder or a URL: audio, texts, metadata and a table.",
    "fetch": "Fetch clips into the cache.",
    "login": "Keep an API key for later commands, after the server has accepted it.",
    "logout": "Remove the API key that `histfs login` keeps.",
    "ls": "List what a mount would show, without one.",
    "mount": "Mount your history on MOUNTPOINT, an empty directory.",
    "page": "Print a web page to listen to your history: one HTML file, which needs no network.",
    "pin": "Fetch clips, and keep them in the cache.",
    "play": "Play clips of your history, without a mount.",
    "plugins": "List the available sources, views and files, and their packages.",
    "purge": "Remove every trace of items, at the server and on this machine.",
    "refresh": "Have listings requested again when they are next needed.",
    "rm": "Delete items from your history, without a mount.",
    "serve": "Serve your history by WebDAV and HTTP, for machines and programs without FUSE.",
    "simulate": "Serve the API with sample data on this machine.",
    "status": "Show the state of a mount.",
    "sync": "Update the catalog of your history, without a mount.",
    "table": "Write your history as a table, with a file for each month, to DEST.",
    "trash": "List, copy out and remove the copies of deleted items.",
    "umount": "Unmount a history.",
    "unpin": "Let pinned clips go from the cache again.",
    "watch": "Print new and deleted items as they come.",
}


def main() -> None:
    """Run a command; an error is one line on standard error and an exit status."""
    # The interpreter would look through all objects once more, for cycles among them.
    atexit.register(gc.freeze)
    status = _play(sys.argv[2:]) if sys.argv[1:2] == ["play"] else None
    sys.exit(_run() if status is None else status)


def _play(arguments: list[str]) -> int | None:
    """Play clips of a mount, and return the exit status; None for what is not as plain as that."""
    try:
        from histfs.cli.quick_play import play  # noqa: PLC0415

        return play(arguments)
    except BaseException as error:  # an error, or a signal
        from histfs.cli.error_reporting import exit_on_error  # noqa: PLC0415

        if isinstance(error, KeyboardInterrupt) and sys.stderr.isatty():
            print(file=sys.stderr)  # ends the terminal's line, which shows ^C
        with exit_on_error():
            raise


def _run() -> int:
    from histfs.cli.error_reporting import exit_on_error  # noqa: PLC0415

    with exit_on_error():
        from histfs.cli.command_group import histfs  # noqa: PLC0415

        # Not click's standalone mode, which reports a wrong option in four lines.
        return histfs(prog_name="histfs", standalone_mode=False) or 0
    raise AssertionError("an error ends the process")
