"""The ElevenLabs API."""

from histfs.sources.elevenlabs.history import History

__all__ = ["History"]
