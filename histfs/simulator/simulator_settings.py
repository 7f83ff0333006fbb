"""How a simulator is set up, and what can be turned while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Formats = Literal["honest", "told", "untold"]
DEFAULT_KEY = "demo-key"
# 2026-01-31 18:30:00 UTC: fixed, so that every run shows the same account.
DEFAULT_NEWEST = 1_769_884_200


@dataclass(frozen=True)
class SimulatorSettings:
    """What is fixed when a simulator starts.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        api_key: The key that may do everything.
        permissions: What that key may do after all, such as "convai_read"; None is everything.
        limited_keys: More keys, each with the permissions it has, such as "speech_history_read".
        items: How many items the account starts with.
        conversations: How many conversations the account starts with.
        days: How far items and conversations reach back.
        newest: Unix time of the newest, in seconds.
        seed: Another seed gives other ids, other times and another mixture.
        alignments: Whether items have alignments; without them a page is a tenth of the size.
        clip_bytes: Make every clip about so long.
        disorder: An item's date differs from its place in the list by up to half of so many
            seconds, either way.
        odd_dates: How many items, spread over the history, have a date that can't be.
        formats: "honest" items tell what their audio is. Otherwise items have all formats in turn,
            and the content type is audio/mpeg for each; with "told" the output format is right,
            with "untold" there is none.
        scan_limit: Under a filter, end a page after looking at so many items, even if it is empty.
        keep_removed_cursors: Whether a removed item still works as a cursor.
        inclusive_starts: Whether a conversation that starts in the very second that a listing is
            bounded by is in it; the documentation doesn't say.
        audio_after: A recording that is being made is refused so many times before it is there;
            None is for ever.
        needs_source: With which parameters of the history's list "source" has to be given, of
            "search" and "model_id"; the documentation has said it of either.
        needs_source_status: How the list refuses a request without it: 400 or 422.
        text_search: Whether the messages of conversations can be searched.
        max_concurrent: Refuse a request (429) while so many are being answered, at the start; None
            is never.
        concurrency_headers: Whether answers say how many there are and may be.
        attachments: Whether files that were sent in conversations can be had; a server that lacks
            this doesn't know their address.
        latency: Seconds before each answer, at the start.
        bandwidth: Bytes per second of each answer, at the start; None is unlimited.
        chunked: Whether audio is sent chunked, without its length, at the start.
        audio_head: Whether audio answers HEAD; without it that is a 405.
        audio_ranges: Whether parts of audio can be asked for.
        audio_etags: Whether audio comes with an ETag.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str = field(default=DEFAULT_KEY, repr=False)
    permissions: frozenset[str] | None = None
    limited_keys: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    items: int = 250
    conversations: int = 0
    days: float = 120
    newest: int = DEFAULT_NEWEST
    seed: int = 0
    alignments: bool = True
    clip_bytes: int | None = None
    disorder: int = 0
    odd_dates: int = 0
    formats: Formats = "honest"
    scan_limit: int | None = None
    keep_removed_cursors: bool = False
    inclusive_starts: bool = True
    audio_after: int | None = 2
    needs_source: frozenset[str] = frozenset()
    needs_source_status: int = 400
    text_search: bool = True
    max_concurrent: int | None = None
    concurrency_headers: bool = False
    attachments: bool = True
    latency: float = 0
    bandwidth: float | None = None
    chunked: bool = True
    audio_head: bool = False
    audio_ranges: bool = False
    audio_etags: bool = False


class Pace:
    """How answers are sent; all of it may be changed by any thread at any time."""

    def __init__(self, *, latency: float, bandwidth: float | None, chunked: bool) -> None:
        """Starts with the given values; the properties say what they mean."""
        self.latency = latency
        self.bandwidth = bandwidth
        self.chunked = chunked

    @property
    def latency(self) -> float:
        """Seconds before each answer."""
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError("the latency must be a number of seconds, 0 or more")
        self._latency = seconds

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second of each answer; None is unlimited."""
        return self._bandwidth

    @bandwidth.setter
    def bandwidth(self, rate: float | None) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError("the bandwidth must be a number of bytes per second, more than 0")
        self._bandwidth = rate

    @property
    def chunked(self) -> bool:
        """Whether audio is sent chunked, without its length."""
        return self._chunked

    @chunked.setter
    def chunked(self, chunked: bool) -> None:
        self._chunked = chunked
