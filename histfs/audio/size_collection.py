"""Learning the exact sizes that are missing: the server tells them, or their clips are fetched.

The size of a clip is kept when its clip has come, whether or not the cache has room for the clip.
The clips get times of last use in the order of their dates, as of `histfs.audio.cache_warmup`: of
those that do not fit, the newest stay.

Threads: those of `ClipFetches`. All state is of the iterating thread, but the set of the clips
whose sizes were told: a thread adds a key before its fetch ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from histfs.audio.audio_cache import AudioCache
from histfs.audio.cache_warmup import ClipFetches, WarmedClip
from histfs.core.errors import NoSpace
from histfs.core.item import Item


def learn_sizes(
    audio: AudioCache, items: Callable[[], Iterator[Item]], threads: int
) -> Iterator[WarmedClip]:
    """Ask for the sizes of all clips whose exact size is not known, or fetch the clips.

    Args:
        audio: asks for the sizes; fetches the clips, and keeps what fits.
        items: returns all items, newest first, and after each its attachments.
        threads: how many clips are asked for at once.

    Yields:
        The result for each clip, in the order in which they become known.

    Raises:
        CacheFailed, NoSpace: the catalog can't be read, or the disk failed.
        SourceError: the server or the network fails, not a single clip.
    """
    told_keys = set[str]()

    def next_result() -> WarmedClip:
        clip = fetches.next_result()
        is_told = clip.item.key in told_keys
        told_keys.discard(clip.item.key)
        return clip._replace(is_told=is_told)

    def fetch(item: Item) -> int:
        told = audio.told.ask(item)
        if told is not None:
            told_keys.add(item.key)
            return told
        try:
            return fetches.into_cache(item)
        except NoSpace:
            known = audio.sizes.exact(item)
            if known is None:
                raise
            return known

    with contextlib.closing(ClipFetches(audio, threads, fetch)) as fetches:
        for place, item in enumerate(items()):
            size = audio.sizes.exact(item)
            if size is not None or audio.has_no_audio(item):
                yield WarmedClip(item, size)
                continue
            while fetches.all_busy:
                yield next_result()
            fetches.start(place, item)
        while fetches:
            yield next_result()
