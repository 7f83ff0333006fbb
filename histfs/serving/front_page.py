"""A page to listen on, at the root, for a browser: the newest clips of all sources.

It is made of what the catalogs have, and kept until they change. While the history is not known
whole, the names of the root are shown.

Threads: any number at once. `_lock` guards `_made`; nothing is called while it is held.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterable
from http import HTTPStatus

from histfs.core.errors import HistfsError
from histfs.core.times import ALWAYS
from histfs.mounting import DirectTree
from histfs.mounting.page_clips import account_clips
from histfs.page import PageClip, page
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
        self._made: tuple[object, bytes] | None = None

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
            if self._made is not None and self._made[0] == version:
                return self._made[1]
        clips: list[PageClip] = []
        count = 0
        for mounted in sources:
            newest: deque[PageClip] = deque(maxlen=_MOST)
            for clip in account_clips(mounted, self._tree.zone, _address):
                newest.append(clip)
                count += 1
            clips += newest
        clips = heapq.nlargest(_MOST, clips, key=lambda clip: (clip.when, clip.audio or ""))
        title = "History" if count <= _MOST else f"History: the newest {_MOST:,} of {count:,} clips"
        content = page(clips, title, self._tree.ls("/"))
        with self._lock:
            self._made = version, content
        return content


def _address(path: str) -> str:
    return audio_address(path, "/")
