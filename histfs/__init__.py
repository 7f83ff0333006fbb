"""Mount an ElevenLabs history as a folder."""

__version__ = "0.1.0"
