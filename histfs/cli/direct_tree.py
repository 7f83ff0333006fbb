"""An account's tree without a mount: what `histfs ls`, `histfs cat` and `histfs rm` stand on.

No FUSE library is loaded. What a kernel does for a mount is done here: links are followed, and a
path that isn't there is told by its name.
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

#: Seconds in which a clip that has come should be in its place.
_LANDING = 5.0
#: What is said of a path.
_SAID = {
    NoSuchPath: "there is no such path",
    NameTooLong: "a name in it is longer than any that there is",
    NotADirectory: "there is nothing below a file",
    IsADirectory: "it is a directory: histfs ls shows what it holds",
}


@dataclass(frozen=True, slots=True)
class DirectTree:
    """The tree of an account.

    Attributes:
        tree: what a mount of the account would show.
        zone: of names.
        timeout: seconds in which any call on the tree has to end.
        meet: prepares a path of the tree for the first call (`Filesystem.meet`).
    """

    tree: Filesystem
    zone: Zone
    timeout: float
    meet: Callable[[str, Waiter], None]

    def waiter(self) -> Waiter:
        """Return the patience of one call."""
        return Waiter(self.timeout)

    def followed(self, path: str, *, last: bool = False) -> tuple[str, Attributes]:
        """Return a path without links on its way, and what is there."""
        return forest.resolve_links(self.tree, path, self.waiter(), last=last)

    def each(self, paths: Sequence[str], act: Callable[[str], None]) -> int:
        """Do something with each of some paths: one that fails keeps no other from its turn.

        Args:
            paths: as the user gave them; the others begin with ``/``.
            act: does it.

        Returns:
            The exit status: the highest of those of the paths.
        """
        return max([self._done(path, act) for path in paths], default=0)

    def _done(self, path: str, act: Callable[[str], None]) -> int:
        try:
            below = posixpath.normpath(f"/{path.lstrip('/')}")
            self.meet(below, self.waiter())
            act(below)
        except PathError as error:
            return report_error(Refused(_SAID.get(type(error), "that can't be done with it")), path)
        except HistfsError as error:
            return report_error(error, path)
        return 0


@contextlib.contextmanager
def direct_tree(settings: Settings) -> Iterator[DirectTree]:
    """Lend an account's tree.

    Raises:
        As `compose`.
    """
    logs.start(foreground=False, debug=False, key=settings.key)
    with compose(settings, warn) as filesystem:
        tree = filesystem.tree(int(time.time()))
        yield DirectTree(tree, filesystem.zone, settings.timeout, filesystem.meet)
        landing = Waiter(_LANDING)
        for collection in filesystem.collections:
            collection.audio.flush(landing)


#: Paths of the tree.
paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH…")
