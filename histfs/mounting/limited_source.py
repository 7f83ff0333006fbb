"""Make a source of an account, in the wrappers that keep its requests within the limits."""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

from histfs.core.limiter import Limiter
from histfs.core.server_breaker import ServerBreaker
from histfs.core.source import SPAN, Query, Source
from histfs.core.source_context import SourceContext
from histfs.mounting.plugin_factory import Tell, make
from histfs.mounting.source_accounts import SourceAccount, account_of
from histfs.plugins import Plugin
from histfs.settings import Settings, SettingsError
from histfs.sources.request_policies import (
    FailFastSource,
    RateLimitedSource,
    ReportingSource,
    RetryNotReady,
)
from histfs.sources.time_filter import TimeFilter


class LimitedSource(NamedTuple):
    """A source as it is used.

    Attributes:
        made: as its plugin returned it.
        source: the same in its wrappers.
        account: whose items it lists.
        server: the breaker of its server.
    """

    made: Source
    source: Source
    account: SourceAccount
    server: ServerBreaker


def open_limited(
    plugin: Plugin,
    settings: Settings,
    *,
    limiter: Limiter,
    slot_timeout: float,
    breakers: dict[str, ServerBreaker],
    tell: Tell,
) -> LimitedSource | None:
    """Make a source; None, and the user is told, on failure.

    Args:
        plugin: the source.
        settings: of the account.
        limiter: limits the requests.
        slot_timeout: seconds that a request may wait for the limiter.
        breakers: of the servers, by base URL; gets that of a new one.
        tell: takes a line that says why the source is left out.
    """
    try:
        account = account_of(plugin, settings)
    except SettingsError as error:
        tell(f"{plugin} is left out: {error}")
        return None
    context = SourceContext(
        profile=settings.profile,
        base_url=account.base_url,
        key=account.key,
        timeout=settings.timeout,
        connections=settings.connections,
        options=settings.source_options.get(plugin.name, {}),
        state_maximum=limiter.state_maximum,
    )
    made: Source | None = make(plugin, context, settings.timeout, tell)
    if made is None:
        return None
    server = ServerBreaker(time.monotonic)
    if account.base_url:  # else no server is known
        server = breakers.setdefault(account.base_url, server)
        if server.ping is None:
            # It waits for no slot: where the server is gone, requests may hold all of them.
            server.ping = partial(made.list, Query(limit=1))
    limited = RateLimitedSource(ReportingSource(made, server), limiter, slot_timeout)
    # Outside of the limit: what waits until audio is ready takes no slot meanwhile.
    source: Source = RetryNotReady(FailFastSource(limited, server), settings.timeout)
    if SPAN not in source.traits.filters:
        source = TimeFilter(source)
    return LimitedSource(made, source, account, server)
