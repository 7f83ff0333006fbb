"""What only a real account can tell of the API: facts, without anything of the account's."""

from histfs.sources.elevenlabs.facts.audio_facts import MOST_BYTES, MOST_CLIPS
from histfs.sources.elevenlabs.facts.fact_requests import MOST_REQUESTS, Fact, Unknown
from histfs.sources.elevenlabs.facts.probe import probe

__all__ = ["MOST_BYTES", "MOST_CLIPS", "MOST_REQUESTS", "Fact", "Unknown", "probe"]
