"""A page to listen on, at the root, for a browser: the newest clips of all sources.

It is made of what the catalogs have, when a browser asks for it, and kept until something of what
it shows has changed. While the history is not known whole, the names of the root are shown.

Threads: any number at once. `_lock` guards `_made`; nothing is called while it is held.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from histfs.core.errors import HistfsError
from histfs.core.times import ALWAYS, Span
from histfs.mounting import DirectTree, MountedSource
from histfs.mounting.page_clips import account_clips, newest
from histfs.page import page
from histfs.page.clip import audio_address
from histfs.serving.entries import served
from histfs.serving.files import Files
from histfs.serving.wsgi import Environ, StartResponse, begin

#: The clips of the page, the newest: a browser holds their texts.
_MOST = 10_000
#: Seconds for which a browser waits for listings that are not known.
_TIMEOUT = 10.0
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    # The page has a policy of its own; only a header can tell this.
    "Content-Security-Policy": "frame-ancestors 'none'",
}


class FrontPage:
    """Answers GET and HEAD of the root. A WSGI application.

    Args:
        tree: what is served.
    """

    def __init__(self, tree: DirectTree) -> None:
        self._tree = served(tree)
        self._files = Files(self._tree)
        self._lock = threading.Lock()
        self._made: _Made | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            content = self._content()
        except HistfsError:
            return self._files(environ, start_response)
        begin(start_response, HTTPStatus.OK, {**_HEADERS, "Content-Length": str(len(content))})
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    def _content(self) -> bytes:
        """Return the page.

        Raises:
            HistfsError: not all items are known.
        """
        waiter = self._tree.waiter().at_most(_TIMEOUT)
        sources = [each for each in self._tree.sources if each.probe.is_available(waiter)]
        for mounted in sources:
            mounted.probe.check(waiter)
            mounted.catalog.ensure(ALWAYS, waiter)
        version = [(each.name, each.catalog.version) for each in sources]
        with self._lock:
            made = self._made
        if made is not None and made.version == version:
            return made.content
        # A version grows with each listing that is read anew; the state is of what is shown.
        shown = [newest(each, _MOST) for each in sources]
        state = [each.state for each in shown]
        if made is not None and made.state == state:
            content = made.content
        else:
            content = self._made_of(sources, [each.span for each in shown])
        with self._lock:
            self._made = _Made(version, state, content)
        return content

    def _made_of(self, sources: Sequence[MountedSource], spans: Sequence[Span]) -> bytes:
        clips = heapq.nlargest(
            _MOST,
            (
                clip
                for mounted, span in zip(sources, spans, strict=True)
                for clip in account_clips(mounted, self._tree.zone, _address, span)
            ),
            key=lambda clip: (clip.when, clip.audio or ""),
        )
        count = sum(each.store.total() for each in sources)
        title = "History" if count <= _MOST else f"History: the newest {_MOST:,} of {count:,} clips"
        return page(clips, title, self._tree.ls("/"))


class _Made(NamedTuple):
    """A page that was made.

    Attributes:
        version: of the catalogs, when it was last looked at.
        state: of what it shows.
        content: in HTML.
    """

    version: object
    state: object
    content: bytes


def _address(path: str) -> str:
    return audio_address(path, "/")
