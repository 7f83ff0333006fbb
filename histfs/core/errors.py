"""Domain exceptions, and the one table that turns them into an errno.

HistfsError
├── SourceError                 the remote API, or the way to it
│   ├── Unreachable             no connection, no answer in time
│   │   └── TimedOut            a connection, but no answer in time
│   ├── ServerFailed            5xx
│   ├── BadAnswer               an answer that is not what the API promises
│   │   └── AnswerTooLarge      a listing, or an object, that is larger than any should be
│   ├── ClipTooLarge            audio that is larger than the user allows
│   ├── Rejected                4xx that none of the following names
│   │   ├── InvalidRequest      400, 422: what was asked, or how
│   │   └── NotOffered          405, or 404 for a whole list: the server has no such API
│   ├── KeyRefused              401, 403: the key
│   │   └── MissingPermission   the key is right, but may not do this
│   ├── RateLimited             429
│   ├── Missing                 404: no such item
│   ├── NotReady                what is asked for is still being made
│   ├── NoAudio                 an item that has none
│   ├── NoAttachment            an attachment that the server has deleted, for certain
│   ├── DeleteUnconfirmed       a DELETE of which it is not known whether it was done
│   └── PluginFailed            a source, a view or a file of another package has a fault
├── NotComplete                 what was asked for is not completely known yet
├── DeadlineExceeded            the call's time is over
├── TooManyWaiting              as many calls wait as may
├── Interrupted                 the calling process was signalled
├── NotForCrawlers              audio that would have to be fetched for a thumbnailer or an indexer
├── NotArchived                 an item that can't be copied before it is deleted
├── NoSpace                     the cache's disk is full
├── CacheFailed                 the cache's disk failed
└── PathError                   a path, or what was asked of it
    ├── NoSuchPath
    ├── NameTooLong
    ├── NotADirectory, IsADirectory, NotALink
    ├── DirectoryNotEmpty
    ├── NotPermitted
    └── ReadOnly
"""

from __future__ import annotations

import copy
import errno
from collections.abc import Collection
from typing import TypeVar

from histfs.core.secret import redact


class HistfsError(Exception):
    """The root of what histfs raises on purpose; its message is one line for a person.

    What a server said may stand in it; no API key does when it is told.

    Attributes:
        advice: what the user can do about it; empty where the command line knows by the class.
    """

    advice: str = ""

    def __str__(self) -> str:
        return redact(super().__str__())


class SourceError(HistfsError):
    """The remote API did not do what was asked of it."""


class Unreachable(SourceError):
    """No connection could be made, or no answer came in time."""


class TimedOut(Unreachable):
    """The server took the request, and no answer came in time."""


class ServerFailed(SourceError):
    """The server answered with a 5xx status."""


class BadAnswer(SourceError):
    """The answer is not what the API promises: HTML, broken JSON, a body cut short."""


class AnswerTooLarge(BadAnswer):
    """A listing, or an object, is larger than any should be; it was not read to its end."""


class ClipTooLarge(SourceError):
    """A clip is larger than the user allows; it was not fetched to its end."""


class Rejected(SourceError):
    """The server refused the request as such (4xx)."""


class InvalidRequest(Rejected):
    """The server refused the request for what it asks (400, 422).

    Args:
        message: one line for a person.
        parameters: the names of the parameters that the server blames; empty where it blames none.
    """

    def __init__(self, message: str, parameters: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.parameters = parameters


class NotOffered(Rejected):
    """The server has no such API; nothing of it can be shown."""


class KeyRefused(SourceError):
    """The server does not accept the API key."""


class MissingPermission(KeyRefused):
    """The key is known, but lacks a permission; the message says which one."""


class RateLimited(SourceError):
    """The server asks for fewer requests (429), and waiting longer would break the deadline.

    Args:
        message: one line for a person.
        retry_after: seconds for which the server wants no request; None when it doesn't say.
    """

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Missing(SourceError):
    """The server knows no such item.

    Args:
        message: one line for a person.
        codes: the API's own words for it. None came from a server, or a proxy, that answers so to
            every address it doesn't know.
    """

    def __init__(self, message: str = "", codes: Collection[str] = ()) -> None:
        super().__init__(message)
        self.codes = frozenset(codes)


class NotReady(SourceError):
    """The server is still making what was asked for."""


class NoAudio(SourceError):
    """The item has no audio, and will have none."""


class NoAttachment(SourceError):
    """The server has the item, but not one of its attachments any more, and says so clearly.

    Like other failures it is an I/O error for whoever reads the file: the transcript names it.
    """


class DeleteUnconfirmed(SourceError):
    """An item may have been deleted or not: the server's answers don't settle it."""


class PluginFailed(SourceError):
    """A plugin raised what it may not."""


class NotComplete(HistfsError):
    """A directory is not completely known yet; a part of it is never shown."""


class DeadlineExceeded(HistfsError):
    """A call took longer than it may."""


class TooManyWaiting(HistfsError):
    """A call would have to wait, and as many calls wait as may."""


class Interrupted(HistfsError):
    """The process that waits was interrupted, or the mount is going away."""


class NotForCrawlers(HistfsError):
    """Audio isn't fetched for a program that looks into whatever lies in a folder."""


class NotArchived(HistfsError):
    """An item can't be copied, and so it is not deleted."""


class NoSpace(HistfsError):
    """The disk under the cache is full."""


class CacheFailed(HistfsError):
    """The disk under the cache can't be read or written."""


class PathError(HistfsError):
    """A path that is not there, or is not of the kind that the call needs."""


class NoSuchPath(PathError):
    """Nothing has this path."""


class NameTooLong(PathError):
    """A component of the path is longer than 255 bytes."""


class NotADirectory(PathError):
    """A directory is needed here."""


class IsADirectory(PathError):
    """A file is needed here."""


class NotALink(PathError):
    """A symbolic link is needed here."""


class DirectoryNotEmpty(PathError):
    """The directory has entries."""


class NotPermitted(PathError):
    """This filesystem has no such operation, or not on this path."""


class ReadOnly(PathError):
    """The mount is read-only."""


#: What fails so concerns no single item: it would fail for every other one, too.
OF_ALL = (Unreachable, KeyRefused, RateLimited)

_ERRNO: dict[type[BaseException], int] = {
    # A listing or a read that failed must look like a failing disk: rsync --delete then keeps
    # its hands off the backup, and cp reports the file.
    SourceError: errno.EIO,
    ClipTooLarge: errno.EFBIG,
    # Not EPERM: that would say "never", and another key can.
    KeyRefused: errno.EACCES,
    RateLimited: errno.EAGAIN,
    Missing: errno.ENOENT,
    NotReady: errno.EAGAIN,
    NoAudio: errno.ENOENT,
    NotComplete: errno.EAGAIN,
    DeadlineExceeded: errno.ETIMEDOUT,
    TooManyWaiting: errno.EAGAIN,
    Interrupted: errno.EINTR,
    NotForCrawlers: errno.EACCES,
    # Also where the audio is missing: `rm -f` takes ENOENT for success.
    NotArchived: errno.EIO,
    NoSpace: errno.ENOSPC,
    CacheFailed: errno.EIO,
    NoSuchPath: errno.ENOENT,
    NameTooLong: errno.ENAMETOOLONG,
    NotADirectory: errno.ENOTDIR,
    IsADirectory: errno.EISDIR,
    # readlink(2): the named file is not a symbolic link.
    NotALink: errno.EINVAL,
    DirectoryNotEmpty: errno.ENOTEMPTY,
    NotPermitted: errno.EPERM,
    ReadOnly: errno.EROFS,
}


E = TypeVar("E", bound=BaseException)


def again(error: E) -> E:
    """Return an exception like one that was raised before, to raise it once more.

    Each raise of one object makes its traceback longer, and that keeps the frames with all that
    they refer to: some 5 KB for each listing that fails for the same reason.

    Args:
        error: what was kept.

    Returns:
        A copy with no traceback; what caused the error is the same.
    """
    try:
        made = copy.copy(error)
    except Exception:  # noqa: BLE001 - a plugin's own class may not be made for that
        return error.with_traceback(None)
    made.__cause__ = error.__cause__
    return made


def errno_of(error: BaseException) -> int:
    """Return the errno that a system call answers for an exception.

    Args:
        error: any exception.

    Returns:
        A positive errno; the exception's own for an ``OSError``; EIO for what nobody foresaw.
    """
    for kind in type(error).__mro__:
        if kind in _ERRNO:
            return _ERRNO[kind]
    if isinstance(error, OSError) and error.errno:
        return error.errno
    return errno.EIO
