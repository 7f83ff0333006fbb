"""The status of a running mount: one object, as JSON in its file and as lines for a terminal.

It has no key in it. Its texts are untrusted: the lines have their control characters escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import msgspec

from histfs.core.errors import HistfsError
from histfs.core.terminal_text import shown
from histfs.core.times import ALWAYS, Span, Zone

#: The file is padded to a multiple of this: it may grow between a client's stat and its read.
_BLOCK = 4096
#: Notes on the states of a scan.
_STATES = {"reading": "; reading it", "waiting": "; waiting to try again"}


class NoStatus(HistfsError):
    """The status of a mount can't be read; the message says why."""


class MountUnresponsive(NoStatus):
    """A mount does not answer: its process has died or hangs."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The account of a mount.

    Attributes:
        profile: the account's name on this machine.
        base_url: the server.
        key_from: the origin of the key, never the key.
    """

    profile: str
    base_url: str
    key_from: str = ""


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """A span of time whose items are all known, in seconds since the epoch.

    Attributes:
        start: its first second; None if it is unbounded.
        end: the first second after it; None if it is unbounded.
    """

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class ScanStatus:
    """The progress of the background scan of the history.

    Attributes:
        complete: whether the whole history is known.
        down_to: the date down to which it is known, in seconds since the epoch; None if nothing is.
        state: ``idle``, ``reading``, or ``waiting`` to try again.
    """

    complete: bool
    down_to: int | None
    state: str


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The size of the audio cache and its limit, in bytes."""

    bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """A failed request.

    Attributes:
        at: when it failed, in seconds since the epoch.
        message: one line for the user.
    """

    at: int
    message: str


@dataclass(frozen=True, slots=True)
class OutageStatus:
    """A time in which the server's lists can't be read, and listings are not refreshed.

    Attributes:
        since: when the first request failed, in seconds since the epoch.
        message: the last failure, one line for the user.
    """

    since: int
    message: str


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The status of one source, such as the conversations; see `Status` for the attributes."""

    items: int
    windows: Sequence[WindowStatus]
    scan: ScanStatus
    requests: Mapping[str, int]
    last_error: FailureStatus | None
    outage: OutageStatus | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a mount; its items, windows, scan, requests and errors are the first source's.

    Attributes:
        version: the version of histfs.
        pid: the process that serves the mount.
        mountpoint: an absolute path.
        since: when it was mounted, in seconds since the epoch.
        account: the account.
        items: number of known items.
        windows: the spans whose items are all known, oldest first.
        scan: the progress of the background scan.
        cache: the audio cache.
        requests: number of requests to the server, by kind.
        last_error: the last failed request; None if none has failed.
        outage: the current outage of the lists; None if there is none.
        left_out: the plugins that were disabled because a call did not return, with the reason; one
            line each.
        sources: the status of the other sources, by name.
        others: the status of the other accounts.
    """

    version: str
    pid: int
    mountpoint: str
    since: int
    account: AccountStatus
    items: int
    windows: Sequence[WindowStatus]
    scan: ScanStatus
    cache: CacheStatus
    requests: Mapping[str, int]
    last_error: FailureStatus | None
    outage: OutageStatus | None = None
    left_out: Sequence[str] = field(default_factory=list)
    sources: Mapping[str, SourceStatus] = field(default_factory=dict)
    others: Sequence[Status] = field(default_factory=list)

    @classmethod
    def from_json(cls, content: bytes) -> Status:
        """Parse the result of `to_file` or `to_json`, perhaps of a later version.

        Raises:
            ValueError: the content is something else.
        """
        try:
            return msgspec.convert(json.loads(content), type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> str:
        """Return one line of ASCII, without a newline."""
        return json.dumps(asdict(self))

    def to_file(self) -> bytes:
        """Return JSON, padded with spaces and a newline to a multiple of `_BLOCK`."""
        content = self.to_json().encode()
        return content.ljust(-(-(len(content) + 1) // _BLOCK) * _BLOCK - 1) + b"\n"

    def lines(self, zone: Zone) -> list[str]:
        """Return lines for a terminal.

        Args:
            zone: the time zone of the times.
        """
        rows = [
            ("histfs", f"{self.version}, process {self.pid}, mounted {_time(self.since, zone)}")
        ]
        for each in (self, *self.others):
            rows += each._account_rows(zone)
        width = max(len(name) for name, _ in rows)
        lines = (f"  {name:{width}}  {text}".rstrip() for name, text in rows)
        return [shown(self.mountpoint), *map(shown, lines)]

    def _account_rows(self, zone: Zone) -> Iterator[tuple[str, str]]:
        """Yield the name and the text of each line about the account."""
        yield "account", f"{self.account.profile}, {self.account.base_url}"
        yield "key from", self.account.key_from or "unknown"
        yield "audio cache", f"{_amount(self.cache.bytes)} of {_amount(self.cache.limit)}"
        for why in self.left_out:
            yield "plugin", why
        yield from _source_rows(self, zone)
        for name, source in self.sources.items():
            yield name, ""
            for row, text in _source_rows(source, zone):
                yield f"  {row}", text


def windows_of(spans: Iterable[Span]) -> list[WindowStatus]:
    """Return the windows of spans; an infinite bound is None."""
    return [
        WindowStatus(
            None if span.start <= ALWAYS.start else span.start,
            None if span.end >= ALWAYS.end else span.end,
        )
        for span in spans
    ]


def _source_rows(source: SourceStatus | Status, zone: Zone) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each line about a source."""
    scan, error = source.scan, source.last_error
    if scan.complete:
        known = "the whole history is known"
    elif scan.down_to is None:
        known = "the history is known in parts"
    else:
        known = f"the history is known down to {_time(scan.down_to, zone)}"
    yield "items", f"{source.items:,}; {known}{_STATES.get(scan.state, '')}"
    yield "requests", ", ".join(f"{n:,} {kind}" for kind, n in source.requests.items())
    if source.outage is not None:
        since = _time(source.outage.since, zone)
        yield "listings", f"not refreshed since {since}: {source.outage.message}"
    yield "last error", f"{_time(error.at, zone)} {error.message}" if error else "none"


def _time(moment: int, zone: Zone) -> str:
    return zone.local(moment).strftime("%Y-%m-%d %H:%M:%S")


def _amount(size: int) -> str:
    """Return a number of bytes in the units of ``--audio-cache-size``."""
    if size >= 1 << 30:
        return f"{size / (1 << 30):,.1f} GB"
    return f"{size / (1 << 20):.1f} MB"
