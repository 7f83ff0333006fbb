"""The ElevenLabs API."""
