"""What ``histfs table`` and ``histfs export`` begin with: the destination, and a complete list."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from histfs import logs
from histfs.cli.error_reporting import warn
from histfs.cli.progress import Display, open_display
from histfs.cli.sync import WAIT_BUDGET
from histfs.cli.sync_steps import fetch_details, list_newest, scan_history
from histfs.core.errors import SourceError
from histfs.exporting.bucket import destination_of
from histfs.exporting.destination import Destination
from histfs.mounting import AccountFilesystem, MountedSource, account_dir, compose
from histfs.settings import Settings


class Session(NamedTuple):
    """An account whose history is known, and where it is written.

    Attributes:
        display: shows the progress.
        place: the destination, locked against other runs.
        filesystem: of the account.
        sources: those of its sources that can be listed.
        failed: the errors of items whose details could not be fetched.
    """

    display: Display
    place: Destination
    filesystem: AccountFilesystem
    sources: Sequence[MountedSource]
    failed: Sequence[SourceError]


@contextlib.contextmanager
def export_session(settings: Settings, destination: str, silent: bool) -> Iterator[Session]:
    """List the whole history, and fetch its details.

    Args:
        settings: of the account.
        destination: a folder or a URL.
        silent: whether standard output is for a program.
    """
    logs.start(foreground=False, debug=False, key=settings.key)
    place = destination_of(destination, account_dir(settings))
    with (
        open_display(silent=silent) as display,
        place.locked(),
        compose(settings, warn, WAIT_BUDGET) as filesystem,
    ):
        sources = [each for each in filesystem.sources if list_newest(each, display)]
        for mounted in sources:
            scan_history(mounted, settings, display)
        failed = [error for each in sources for error in fetch_details(each, settings, display)]
        yield Session(display, place, filesystem, sources, failed)
