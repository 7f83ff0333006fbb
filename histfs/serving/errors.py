"""The error of the server's start, and the HTTP status of each error of the tree."""

from __future__ import annotations

from http import HTTPStatus

from histfs.core.errors import (
    CacheFailed,
    DeadlineExceeded,
    DirectoryNotEmpty,
    HistfsError,
    Interrupted,
    IsADirectory,
    Missing,
    NoAttachment,
    NoAudio,
    NoSpace,
    NotComplete,
    NotPermitted,
    NotReady,
    PathError,
    RateLimited,
    ReadOnly,
    TooManyWaiting,
)


class ServeUnavailable(HistfsError):
    """WsgiDAV and Cheroot, which serve the tree, are not installed."""


#: A subclass has the status of its nearest base here. What clients try again is 5xx.
_STATUS: dict[type[BaseException], HTTPStatus] = {
    HistfsError: HTTPStatus.BAD_GATEWAY,
    PathError: HTTPStatus.NOT_FOUND,
    Missing: HTTPStatus.NOT_FOUND,
    NoAudio: HTTPStatus.NOT_FOUND,
    NoAttachment: HTTPStatus.GONE,
    NotPermitted: HTTPStatus.FORBIDDEN,
    ReadOnly: HTTPStatus.FORBIDDEN,
    IsADirectory: HTTPStatus.FORBIDDEN,
    DirectoryNotEmpty: HTTPStatus.CONFLICT,
    RateLimited: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    NotComplete: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyWaiting: HTTPStatus.SERVICE_UNAVAILABLE,
    Interrupted: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    NoSpace: HTTPStatus.INSUFFICIENT_STORAGE,
    CacheFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: HistfsError) -> HTTPStatus:
    """Return the HTTP status that stands for an error."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
