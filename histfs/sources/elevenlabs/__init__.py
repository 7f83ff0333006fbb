"""The ElevenLabs API."""

from histfs.sources.elevenlabs.conversations import Conversations
from histfs.sources.elevenlabs.history import History

__all__ = ["Conversations", "History"]
