"""The settings of a simulator: those fixed at its start, and the pace of its responses."""

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
    """The settings that are fixed when a simulator starts.

    Attributes:
        host: The address to listen on.
        port: The port; 0 chooses a free one.
        api_key: The account's key.
        permissions: The initial permissions of that key, such as "convai_read"; None is all.
        limited_keys: Other keys with their permissions, such as "speech_history_read".
        items: The initial number of items.
        conversations: The initial number of conversations.
        days: The age of the oldest item and conversation, in days before the newest.
        newest: Unix time of the newest item and conversation, in seconds.
        seed: Determines the ids, the times and the mixture.
        alignments: Whether items have alignments; without them a page is a tenth of the size.
        clip_bytes: The approximate size of every clip; None is that of the samples.
        disorder: Seconds; an item's date differs from its position in the list by up to half of
            this, either way.
        odd_dates: How many items, spread over the history, have an impossible date.
        formats: With "honest", items declare the true format of their audio. Otherwise items have
            all formats in turn, with the content type audio/mpeg; with "told" the output format is
            true, with "untold" it is null.
        inclusive_starts: Whether the time bounds of a list of conversations are inclusive; the
            documentation doesn't say.
        audio_after: How often the recording of a processing conversation is refused before the
            conversation is done.
        needs_source: The parameters of the history's list that require "source": "search",
            "model_id" or both; the documentation has stated it for either.
        needs_source_status: The status of a refusal for that reason: 400 or 422.
        text_search: Whether the endpoint for the search of messages exists.
        max_concurrent: The maximum number of requests in flight, more get 429; None is unlimited.
        concurrency_headers: Whether answers state the number in flight and the maximum.
        attachments: Whether the endpoint for files that were sent in conversations exists.
        latency: The initial delay of each answer, in seconds.
        bandwidth: The initial rate of each answer, in bytes per second; None is unlimited.
        shared_bandwidth: The rate of all answers together, in bytes per second; None is unlimited.
        chunked: Whether audio is sent chunked at first, without Content-Length.
        audio_head: Whether audio answers HEAD, with its length; otherwise it is a 405.
        audio_head_excess: By how many bytes that length is too large, by item id.
        audio_ranges: Whether audio has byte ranges.
        audio_etags: Whether audio has an ETag.
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
    inclusive_starts: bool = True
    audio_after: int = 2
    needs_source: frozenset[str] = frozenset()
    needs_source_status: int = 400
    text_search: bool = True
    max_concurrent: int | None = None
    concurrency_headers: bool = False
    attachments: bool = True
    latency: float = 0
    bandwidth: float | None = None
    shared_bandwidth: float | None = None
    chunked: bool = True
    audio_head: bool = False
    audio_head_excess: Mapping[str, int] = field(default_factory=dict)
    audio_ranges: bool = False
    audio_etags: bool = False


class Pace:
    """The pace and framing of answers.

    Threads: any thread may set any attribute at any time; each is one assignment.

    Attributes:
        latency: The delay of each answer, in seconds.
        bandwidth: Bytes per second of each answer; None is unlimited.
        chunked: Whether audio is sent chunked, without Content-Length.
    """

    def __init__(self, *, latency: float, bandwidth: float | None, chunked: bool) -> None:
        self.latency = latency
        self.bandwidth = bandwidth
        self.chunked = chunked

    @property
    def latency(self) -> float:
        """The delay of each answer, in seconds."""
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError("the latency must be a number of seconds, 0 or more")
        self._latency = seconds

    @property
    def bandwidth(self) -> float | None:
        """The rate of each answer, in bytes per second; None is unlimited."""
        return self._bandwidth

    @bandwidth.setter
    def bandwidth(self, rate: float | None) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError("the bandwidth must be a number of bytes per second, more than 0")
        self._bandwidth = rate
