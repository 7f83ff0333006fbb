"""The clips of a tree, as `histfs.clip_server` reads them."""

from __future__ import annotations

from collections.abc import Callable

from histfs.core.nodes import FileStream
from histfs.core.waiting import Waiter
from histfs.mounting.direct_tree import DirectTree


class TreeClips:
    """Implements `histfs.clip_server.ClipSource`.

    Args:
        tree: holds the clips.
    """

    def __init__(self, tree: DirectTree) -> None:
        self._tree = tree

    def stream(self, path: str, ended: Callable[[], bool]) -> _TreeStream:
        """Open a clip to be read as its bytes come.

        Args:
            path: of the clip.
            ended: says whether all waits end.
        """

        def waiter() -> Waiter:
            return Waiter(self._tree.timeout, ended)

        return _TreeStream(self._tree.stream(path, waiter()), waiter)


class _TreeStream:
    """A clip that is read from the tree; each wait has a deadline of its own."""

    def __init__(self, stream: FileStream, waiter: Callable[[], Waiter]) -> None:
        self._stream = stream
        self._waiter = waiter
        self.close = stream.close

    @property
    def whole_size(self) -> int | None:
        """The exact size in bytes once all of them are on this machine; None before."""
        return self._stream.whole_size

    def wait_until_whole(self) -> int:
        """Wait until all bytes are on this machine, and return their number."""
        return self._stream.wait_until_whole(self._waiter())

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes at an offset as soon as there is one; none at the end."""
        return self._stream.read(offset, size, self._waiter())
