"""The tree of an account without a mount, for `histfs ls`, `histfs cat` and `histfs rm`.

No FUSE library is loaded. In place of the kernel this module follows links, and reports errors by
the path that the user gave.
"""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import click

from histfs import logs
from histfs.cli.error_reporting import Refused, report_error, warn
from histfs.core import filesystem as forest
from histfs.core.errors import (
    HistfsError,
    IsADirectory,
    NameTooLong,
    NoSuchPath,
    NotADirectory,
    PathError,
)
from histfs.core.filesystem import Filesystem
from histfs.core.nodes import Attributes
from histfs.core.times import Zone
from histfs.core.waiting import Waiter
from histfs.mounting import compose
from histfs.settings import Settings

#: Seconds in which downloaded clips should be flushed into the cache.
_FLUSH_TIMEOUT = 5.0
#: The messages of errors of a path.
_MESSAGES = {
    NoSuchPath: "there is no such path",
    NameTooLong: "a name in it is longer than any that there is",
    NotADirectory: "there is nothing below a file",
    IsADirectory: "it is a directory: histfs ls shows what it holds",
}


@dataclass(frozen=True, slots=True)
class DirectTree:
    """The tree of an account.

    Attributes:
        tree: the tree that a mount of the account would show.
        zone: the time zone of names.
        timeout: maximum seconds of any call on the tree.
        meet: prepares a path for the first call (`AccountFilesystem.meet`).
    """

    tree: Filesystem
    zone: Zone
    timeout: float
    meet: Callable[[str, Waiter], None]

    def waiter(self) -> Waiter:
        """Return the waiter of one call."""
        return Waiter(self.timeout)

    def followed(self, path: str, *, last: bool = False) -> tuple[str, Attributes]:
        """Resolve the links of a path; return the path of the node, and its attributes."""
        return forest.resolve_links(self.tree, path, self.waiter(), last=last)

    def each(self, paths: Sequence[str], function: Callable[[str], None]) -> int:
        """Call a function for each path; report an error and go on with the next path.

        Args:
            paths: the paths that the user gave.
            function: takes an absolute path in the tree.

        Returns:
            The exit status: the highest of those of the paths.
        """
        return max([self._call(function, path) for path in paths], default=0)

    def _call(self, function: Callable[[str], None], path: str) -> int:
        try:
            absolute = posixpath.normpath(f"/{path.lstrip('/')}")
            self.meet(absolute, self.waiter())
            function(absolute)
        except PathError as error:
            message = _MESSAGES.get(type(error), "that can't be done with it")
            return report_error(Refused(message), path)
        except HistfsError as error:
            return report_error(error, path)
        return 0


@contextlib.contextmanager
def direct_tree(settings: Settings) -> Iterator[DirectTree]:
    """Yield the tree of an account.

    Raises:
        HistfsError: see `compose`.
    """
    logs.start(foreground=False, debug=False, key=settings.key)
    with compose(settings, warn) as filesystem:
        tree = filesystem.tree(int(time.time()))
        yield DirectTree(tree, filesystem.zone, settings.timeout, filesystem.meet)
        waiter = Waiter(_FLUSH_TIMEOUT)
        for mounted in filesystem.collections:
            mounted.audio.flush(waiter)


#: Paths in the tree.
paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH…")
