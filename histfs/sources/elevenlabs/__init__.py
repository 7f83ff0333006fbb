"""The ElevenLabs API."""

from histfs.core.account import Account
from histfs.core.hosts import parse_server_url
from histfs.sources.elevenlabs.conversations import Conversations
from histfs.sources.elevenlabs.history import History
from histfs.sources.elevenlabs.http import Http

__all__ = ["Conversations", "History", "open_conversations", "open_history"]


def open_history(account: Account) -> History:
    """Return the speech history of an account."""
    return History(_http(account))


def open_conversations(account: Account) -> Conversations:
    """Return the conversations of an account's agents."""
    host = parse_server_url(account.base_url).host
    return Conversations(_http(account), certain=host.endswith(".elevenlabs.io"))


def _http(account: Account) -> Http:
    return Http(
        account.base_url,
        account.key,
        account.timeout,
        account.connections,
        state_maximum=account.state_maximum,
    )
