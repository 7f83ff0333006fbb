"""Domain exceptions, and the one table that maps them to an errno.

HistfsError
├── SourceError                 the remote API, or the network to it
│   ├── Unreachable             no connection, no answer in time
│   │   └── TimedOut            a connection, but no answer in time
│   ├── ServerFailed            5xx
│   ├── BadAnswer               an answer that breaks the API's contract
│   │   └── AnswerTooLarge      a listing or an object larger than the bound
│   ├── ClipTooLarge            audio larger than the user allows
│   ├── Rejected                any other 4xx than those below
│   │   ├── InvalidRequest      400, 422: the parameters
│   │   └── NotOffered          405, or 404 for a whole list: the server has no such API
│   ├── KeyRefused              401, 403: the key
│   │   └── MissingPermission   the key is valid, but lacks a permission
│   ├── RateLimited             429
│   ├── Missing                 404: no such item
│   ├── NotReady                an item that the server still generates
│   ├── NoAudio                 an item without audio
│   ├── NoAttachment            an attachment that the server has deleted
│   ├── DeleteUnconfirmed       a DELETE with an unknown result
│   └── PluginFailed            a fault of a source, a view or a file of another package
├── NotComplete                 a listing that is not completely known yet
├── DeadlineExceeded            the call's deadline is over
├── TooManyWaiting              the limit of waiting calls
├── Interrupted                 the calling process was signalled
├── NotForCrawlers              audio that a thumbnailer or an indexer would have fetched
├── NotArchived                 an item that can't be copied before its delete
├── NoSpace                     the cache's disk is full
├── CacheFailed                 the cache's disk failed
└── PathError                   a path, or an operation on it
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
    """The root of all exceptions that histfs raises itself; the message is one line for the user.

    What a server said may stand in it; no API key does when it is told.

    Attributes:
        advice: what the user can do about it; empty where the command line knows by the class.
    """

    advice: str = ""

    def __str__(self) -> str:
        return redact(super().__str__())


class SourceError(HistfsError):
    """The remote API did not fulfil a request."""


class Unreachable(SourceError):
    """No connection could be made, or no answer came in time."""


class TimedOut(Unreachable):
    """The server accepted the connection, and no answer came in time."""


class ServerFailed(SourceError):
    """The server answered with a 5xx status."""


class BadAnswer(SourceError):
    """The answer breaks the API's contract: HTML, invalid JSON, a truncated body."""


class AnswerTooLarge(BadAnswer):
    """A listing or an object exceeds its bound; it was not read to its end."""


class ClipTooLarge(SourceError):
    """A clip is larger than the user allows; it was not fetched to its end."""


class Rejected(SourceError):
    """The server refused the request (4xx)."""


class InvalidRequest(Rejected):
    """The server refused the parameters of the request (400, 422).

    Args:
        message: one line for the user.
        parameters: the names of the parameters that the server rejects; empty when it names none.
    """

    def __init__(self, message: str, parameters: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.parameters = parameters


class NotOffered(Rejected):
    """The server has no such API."""


class KeyRefused(SourceError):
    """The server does not accept the API key."""


class MissingPermission(KeyRefused):
    """The key is valid, but lacks a permission, which the message names."""


class RateLimited(SourceError):
    """The server asks for fewer requests (429), and waiting longer would break the deadline.

    Args:
        message: one line for the user.
        retry_after: seconds until the next request (``Retry-After``); None when it is not stated.
    """

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Missing(SourceError):
    """The server knows no such item.

    Args:
        message: one line for the user.
        codes: the API's error codes. A server or a proxy that answers 404 to any unknown address
            sends none.
    """

    def __init__(self, message: str = "", codes: Collection[str] = ()) -> None:
        super().__init__(message)
        self.codes = frozenset(codes)


class NotReady(SourceError):
    """The server is still generating the audio or the item."""


class NoAudio(SourceError):
    """The item has no audio, and never will."""


class NoAttachment(SourceError):
    """The server has the item, but has deleted one of its attachments, and says so.

    Reading the file is an I/O error, not ENOENT: the transcript names it.
    """


class DeleteUnconfirmed(SourceError):
    """An item may have been deleted or not: the server's answers are ambiguous."""


class PluginFailed(SourceError):
    """A plugin failed: it raised an unexpected exception, gave a wrong result or did not return."""


class NotComplete(HistfsError):
    """A directory is not completely known yet; a partial listing is never returned."""


class DeadlineExceeded(HistfsError):
    """The deadline of a call is over."""


class TooManyWaiting(HistfsError):
    """A call would have to wait, and the limit of waiting calls is reached."""


class Interrupted(HistfsError):
    """The calling process was interrupted, or the filesystem is being unmounted."""


class NotForCrawlers(HistfsError):
    """Audio isn't fetched for a program that opens every file of a folder, such as an indexer."""


class NotArchived(HistfsError):
    """An item can't be copied to the archive, so it is not deleted."""


class NoSpace(HistfsError):
    """The disk under the cache is full."""


class CacheFailed(HistfsError):
    """The disk under the cache can't be read or written."""


class PathError(HistfsError):
    """A path that doesn't exist, or has another type than the call needs."""


class NoSuchPath(PathError):
    """The path doesn't exist."""


class NameTooLong(PathError):
    """A component of the path is longer than 255 bytes."""


class NotADirectory(PathError):
    """The call needs a directory."""


class IsADirectory(PathError):
    """The call needs a file."""


class NotALink(PathError):
    """A symbolic link is needed here."""


class DirectoryNotEmpty(PathError):
    """The directory has entries."""


class NotPermitted(PathError):
    """This filesystem has no such operation, or not on this path."""


class ReadOnly(PathError):
    """The mount is read-only."""


#: Errors that concern no single item: a request for any other item would fail, too.
ACCOUNT_WIDE = (Unreachable, KeyRefused, RateLimited)

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


def without_traceback(error: E) -> E:
    """Return a copy of an exception without its traceback, to raise it again.

    Each raise of one object extends its traceback, which keeps the frames and all that they refer
    to: some 5 KB for each listing that fails for the same reason.

    Args:
        error: a stored exception.

    Returns:
        A copy with the same cause.
    """
    try:
        duplicate = copy.copy(error)
    except Exception:  # noqa: BLE001 - a plugin's exception may not support copying
        return error.with_traceback(None)
    duplicate.__cause__ = error.__cause__
    return duplicate


def errno_of(error: BaseException) -> int:
    """Return the errno of an exception, for the answer of a system call.

    Args:
        error: any exception.

    Returns:
        A positive errno; the exception's own for an ``OSError``; EIO for unexpected exceptions.
    """
    for kind in type(error).__mro__:
        if kind in _ERRNO:
            return _ERRNO[kind]
    if isinstance(error, OSError) and error.errno:
        return error.errno
    return errno.EIO
