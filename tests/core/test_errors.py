import errno
import inspect

import pytest

from histfs.core import errors
from histfs.core.errors import HistfsError, errno_of

ERRNO = {
    errors.HistfsError: errno.EIO,
    errors.SourceError: errno.EIO,
    errors.Unreachable: errno.EIO,
    errors.TimedOut: errno.EIO,
    errors.ServerFailed: errno.EIO,
    errors.BadAnswer: errno.EIO,
    errors.AnswerTooLarge: errno.EIO,
    errors.ClipTooLarge: errno.EFBIG,
    errors.Rejected: errno.EIO,
    errors.InvalidRequest: errno.EIO,
    errors.NotOffered: errno.EIO,
    errors.KeyRefused: errno.EACCES,
    errors.MissingPermission: errno.EACCES,
    errors.RateLimited: errno.EAGAIN,
    errors.Missing: errno.ENOENT,
    errors.NotReady: errno.EAGAIN,
    errors.NoAudio: errno.ENOENT,
    errors.NoAttachment: errno.EIO,
    errors.DeleteUnconfirmed: errno.EIO,
    errors.PluginFailed: errno.EIO,
    errors.NotComplete: errno.EAGAIN,
    errors.DeadlineExceeded: errno.ETIMEDOUT,
    errors.Interrupted: errno.EINTR,
    errors.TooManyWaiting: errno.EAGAIN,
    errors.NotForCrawlers: errno.EACCES,
    errors.NotArchived: errno.EIO,
    errors.NoSpace: errno.ENOSPC,
    errors.CacheFailed: errno.EIO,
    errors.PathError: errno.EIO,
    errors.NoSuchPath: errno.ENOENT,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.NotADirectory: errno.ENOTDIR,
    errors.IsADirectory: errno.EISDIR,
    errors.NotALink: errno.EINVAL,
    errors.DirectoryNotEmpty: errno.ENOTEMPTY,
    errors.NotPermitted: errno.EPERM,
    errors.ReadOnly: errno.EROFS,
}


def test_every_exception_of_the_core_is_in_the_table_above():
    classes = {c for _, c in inspect.getmembers(errors, inspect.isclass)}
    assert {c for c in classes if issubclass(c, HistfsError)} == set(ERRNO)


def test_every_exception_has_its_errno():
    assert {kind: errno_of(kind("why")) for kind in ERRNO} == ERRNO


def test_an_exception_of_another_module_has_its_parents_errno():
    class Banned(errors.KeyRefused):
        pass

    assert errno_of(Banned("why")) == errno.EACCES


def test_an_os_error_keeps_its_own_errno():
    assert errno_of(OSError(errno.EMFILE, "too many")) == errno.EMFILE


@pytest.mark.parametrize("error", [ValueError("?"), OSError("no number"), KeyboardInterrupt()])
def test_an_unexpected_exception_is_an_io_error(error):
    assert errno_of(error) == errno.EIO


def test_an_error_that_is_raised_again_is_the_same_but_for_its_traceback():
    kept = None
    for error in (
        errors.Missing("gone", ["not_found"]),
        errors.RateLimited("slow", 3.0),
        errors.InvalidRequest("no", frozenset({"source"})),
        Odd("x", needed=1),
    ):
        try:
            raise error from ValueError("why")
        except errors.HistfsError as raised:
            kept = raised
        again = errors.without_traceback(kept)
        assert type(again) is type(error)
        assert (again.args, vars(again)) == (error.args, vars(error))
        assert isinstance(again.__cause__, ValueError)
        assert again.__traceback__ is None


class Odd(errors.HistfsError):
    """A plugin's error that can't be copied."""

    def __init__(self, message, *, needed):
        super().__init__(message)
        self.needed = needed
