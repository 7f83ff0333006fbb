"""The sources of the ElevenLabs API, as plugins make them.

Their modules are imported when a source is made: with the HTTP library they take longest of all,
and settings need only the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from histfs.core.server_url import parse_server_url
from histfs.core.service import source_of
from histfs.core.source_context import SourceContext
from histfs.sources.elevenlabs.service import ELEVENLABS

if TYPE_CHECKING:
    from histfs.sources.elevenlabs.conversations import ConversationSource
    from histfs.sources.elevenlabs.history import HistorySource
    from histfs.sources.elevenlabs.http_client import HttpClient


@source_of(ELEVENLABS)
def open_history(account: SourceContext) -> HistorySource:
    """Return the speech history of an account."""
    from histfs.sources.elevenlabs.history import HistorySource  # noqa: PLC0415

    return HistorySource(_http(account))


@source_of(ELEVENLABS)
def open_conversations(account: SourceContext) -> ConversationSource:
    """Return the conversations of an account's agents."""
    from histfs.sources.elevenlabs.conversations import ConversationSource  # noqa: PLC0415

    host = parse_server_url(account.base_url).host
    return ConversationSource(_http(account), certain=host.endswith(".elevenlabs.io"))


def _http(account: SourceContext) -> HttpClient:
    from histfs.sources.elevenlabs.http_client import HttpClient  # noqa: PLC0415

    return HttpClient(
        account.base_url,
        account.key,
        account.timeout,
        account.connections,
        state_maximum=account.state_maximum,
    )
