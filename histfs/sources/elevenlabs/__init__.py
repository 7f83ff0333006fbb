"""The ElevenLabs API."""

from histfs.core.server_url import parse_server_url
from histfs.core.source_context import SourceContext
from histfs.sources.elevenlabs.conversations import ConversationSource
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient

__all__ = ["ConversationSource", "HistorySource", "open_conversations", "open_history"]


def open_history(context: SourceContext) -> HistorySource:
    """Return the speech history of an account."""
    return HistorySource(_http_client(context))


def open_conversations(context: SourceContext) -> ConversationSource:
    """Return the conversations of an account's agents."""
    host = parse_server_url(context.base_url).host
    return ConversationSource(_http_client(context), certain=host.endswith(".elevenlabs.io"))


def _http_client(context: SourceContext) -> HttpClient:
    return HttpClient(
        context.base_url,
        context.key,
        context.timeout,
        context.connections,
        state_maximum=context.state_maximum,
    )
