"""What ``histfs doctor`` asks the ElevenLabs API: one item of each kind, which tells of the key."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from histfs.core.errors import HistfsError, KeyRefused, MissingPermission, NotOffered, RateLimited
from histfs.core.service import CheckResult
from histfs.core.source import Query
from histfs.core.source_context import SourceContext
from histfs.sources.elevenlabs.conversations import ConversationSource
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient

#: Seconds by which the clocks of machine and server may differ without a warning.
_CLOCK_TOLERANCE = 60


def check_server(context: SourceContext) -> Iterator[CheckResult]:
    """Check server, key, permissions and clock with two requests that change nothing.

    Args:
        context: names the server and the key.

    Raises:
        HistfsError: the server can't be asked.
    """
    http = HttpClient(context.base_url, context.key, context.timeout, connections=1)
    with contextlib.closing(http):
        refused = None
        began = time.monotonic()
        try:
            HistorySource(http).page(page_size=1)
        except KeyRefused as error:
            refused = error
        except RateLimited as error:
            yield CheckResult("server", "warn", error=error)
            return
        took = time.monotonic() - began
        yield CheckResult("server", "ok", f"{context.base_url} answered in {took:.1f} seconds")
        if refused is None or isinstance(refused, MissingPermission):
            yield CheckResult("access", "ok", "the server knows the key")
        if refused is not None:
            check = "permissions" if isinstance(refused, MissingPermission) else "access"
            yield CheckResult(check, "fail", error=refused)
        else:
            yield CheckResult(
                "permissions",
                "ok",
                "speech_history_read is there; only a delete can tell of speech_history_write",
            )
            yield _check_conversations(http)
        if (ahead := http.clock_offset) is not None:
            yield _check_clock(ahead)


def _check_conversations(http: HttpClient) -> CheckResult:
    """Ask for one conversation; a mount works without any."""
    check = "conversations"
    try:
        ConversationSource(http).list(Query(limit=1))
    except NotOffered:
        return CheckResult(check, "ok", "the server has none: there is no folder for them")
    except KeyRefused as error:
        return CheckResult(check, "warn", "their folder is closed", error)
    except HistfsError as error:
        return CheckResult(check, "fail", error=error)
    return CheckResult(check, "ok", "they can be listed")


def _check_clock(ahead: float) -> CheckResult:
    if abs(ahead) < _CLOCK_TOLERANCE:
        return CheckResult("clock", "ok", "it shows the same time as the server's")
    way = "behind" if ahead > 0 else "ahead of"
    return CheckResult(
        "clock",
        "warn",
        f"it is {abs(ahead):,.0f} seconds {way} the server's: run timedatectl set-ntp true",
    )
