"""The sources of the ElevenLabs API, as plugins make them."""

from __future__ import annotations

from histfs.core.server_url import parse_server_url
from histfs.core.service import source_of
from histfs.core.source_context import SourceContext
from histfs.sources.elevenlabs.conversations import ConversationSource
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient
from histfs.sources.elevenlabs.service import ELEVENLABS


@source_of(ELEVENLABS)
def open_history(account: SourceContext) -> HistorySource:
    """Return the speech history of an account."""
    return HistorySource(_http(account))


@source_of(ELEVENLABS)
def open_conversations(account: SourceContext) -> ConversationSource:
    """Return the conversations of an account's agents."""
    host = parse_server_url(account.base_url).host
    return ConversationSource(_http(account), certain=host.endswith(".elevenlabs.io"))


def _http(account: SourceContext) -> HttpClient:
    return HttpClient(
        account.base_url,
        account.key,
        account.timeout,
        account.connections,
        state_maximum=account.state_maximum,
    )
