"""What a key may do, found out by requests that change nothing: for ``histfs login``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from histfs.core.errors import (
    MissingPermission,
    NoAudio,
    NotOffered,
    NotReady,
    SourceError,
)
from histfs.core.service import CheckResult
from histfs.core.source import Query, Source
from histfs.core.source_context import SourceContext
from histfs.sources.elevenlabs.conversations import ConversationSource
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient

_HISTORY, _CONVERSATIONS = "speech_history_read", "convai_read"


def try_permissions(context: SourceContext) -> Iterator[CheckResult]:
    """Yield what the key may do: list and read both kinds of items, and what can't be tried.

    Up to four requests, each for one item, and of a clip the first bytes alone.

    Args:
        context: names the server and the key.

    Raises:
        HistfsError: the server can't be asked, or does not know the key.
    """
    http = HttpClient(context.base_url, context.key, context.timeout, connections=1)
    with contextlib.closing(http):
        yield from _try_source("history", _HISTORY, HistorySource(http))
        yield from _try_source("conversations", _CONVERSATIONS, ConversationSource(http))
    yield CheckResult(
        "delete",
        "warn",
        "not tried, as only a delete can tell (speech_history_write, convai_write)",
    )


def _try_source(name: str, permission: str, source: Source) -> Iterator[CheckResult]:
    listing, audio = f"list {name}", f"audio of {name}"
    try:
        page = source.list(Query(limit=1))
    except MissingPermission:
        yield CheckResult(listing, "fail", f"no: the key lacks the permission {permission}")
        return
    except NotOffered:
        yield CheckResult(listing, "warn", "the server has none")
        return
    yield CheckResult(listing, "ok", "yes")
    if not page.records:
        yield CheckResult(audio, "warn", "not tried, as there is no item yet")
        return
    yield _try_audio(audio, lambda: _read_some(source, page.records[0].item.id))


def _try_audio(check: str, read: Callable[[], None]) -> CheckResult:
    try:
        read()
    except MissingPermission as error:
        return CheckResult(check, "fail", f"no: {error}")
    except (NoAudio, NotReady):
        return CheckResult(check, "warn", "not tried, as the newest item has none")
    except SourceError as error:
        return CheckResult(check, "warn", f"could not be tried: {error}")
    return CheckResult(check, "ok", "yes")


def _read_some(source: Source, item_id: str) -> None:
    """Read the first bytes of a clip, and end the transfer."""
    with source.audio(item_id) as stream:
        next(stream.chunks(), b"")
