"""What a running mount says of itself: one object, as JSON in its file and as lines for a person.

It holds no key, and its texts are a stranger's: what is shown on a terminal has no control
characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import msgspec

from histfs.core.errors import HistfsError
from histfs.core.terminal_text import shown
from histfs.core.times import ALWAYS, Span, Zone

#: The file's size is a multiple of this: it is measured before it is opened, and may grow between.
_BLOCK = 4096
_STATES = {"reading": "; reading it", "waiting": "; waiting to try again"}


class NoStatus(HistfsError):
    """A mount does not say how it is; the message says why."""


class MountUnresponsive(NoStatus):
    """A mount does not answer: its process has died, or stands still."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """Whose history it is.

    Attributes:
        profile: the account's name on this machine.
        base_url: the server.
        key_from: where its key comes from, never the key.
    """

    profile: str
    base_url: str
    key_from: str = ""


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """A span of time of which all items are known, in seconds since the epoch.

    Attributes:
        start: its first second; None where it has no beginning.
        end: the first second behind it; None where it has no end.
    """

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class ScanStatus:
    """How far the history is read.

    Attributes:
        complete: whether all of it is known.
        down_to: the date down to which it is, in seconds since the epoch; None when nothing is.
        state: ``idle``, ``reading``, or ``waiting`` to try again.
    """

    complete: bool
    down_to: int | None
    state: str


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The audio that is kept, and how much may be, in bytes."""

    bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """An error of the server's, or of the way to it.

    Attributes:
        at: when, in seconds since the epoch.
        message: one line for a person.
    """

    at: int
    message: str


@dataclass(frozen=True, slots=True)
class OutageStatus:
    """A time in which lists can't be read, and listings show what was known before.

    Attributes:
        since: its first failure, in seconds since the epoch.
        message: the last failure, one line for a person.
    """

    since: int
    message: str


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How one source is, such as the conversations; see `Status`."""

    items: int
    windows: Sequence[WindowStatus]
    scan: ScanStatus
    requests: Mapping[str, int]
    last_error: FailureStatus | None
    outage: OutageStatus | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole; what it says of items, lists and requests is that of the first source.

    Attributes:
        version: of histfs.
        pid: the process that serves the mount.
        mountpoint: an absolute path.
        since: when it was mounted, in seconds since the epoch.
        account: whose history it is.
        items: how many are known.
        windows: what is completely known, oldest first.
        scan: how far the history is read.
        cache: the audio on this machine.
        requests: how often the server was asked for what.
        last_error: why it last failed, None when it hasn't.
        outage: since when its lists can't be read, None while they can.
        left_out: the plugins that are not used any more because they did not return, and why; a
            line each.
        sources: how the other sources are, by name.
        others: the same for each of the other accounts.
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
        """Read what `to_file` or `to_json` wrote, perhaps by a later version.

        Raises:
            ValueError: it is something else.
        """
        try:
            return msgspec.convert(json.loads(content), type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> str:
        """Return it as one line of plain ASCII, without the line's end."""
        return json.dumps(asdict(self))

    def to_file(self) -> bytes:
        """Return it as JSON, with spaces behind it, and a newline, up to a round size."""
        content = self.to_json().encode()
        return content.ljust(-(-(len(content) + 1) // _BLOCK) * _BLOCK - 1) + b"\n"

    def lines(self, zone: Zone) -> list[str]:
        """Return it for a person.

        Args:
            zone: in which times are told.
        """
        rows = [
            ("histfs", f"{self.version}, process {self.pid}, mounted {_time(self.since, zone)}")
        ]
        for each in (self, *self.others):
            rows += each._account_rows(zone)
        width = max(len(name) for name, _ in rows)
        told = (f"  {name:{width}}  {text}".rstrip() for name, text in rows)
        return [shown(self.mountpoint), *map(shown, told)]

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
    """Return spans as they are told: what has no beginning, or no end, has none."""
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
    """Return a number of bytes as a person reads it, in the units of ``--audio-cache-size``."""
    if size >= 1 << 30:
        return f"{size / (1 << 30):,.1f} GB"
    return f"{size / (1 << 20):.1f} MB"
