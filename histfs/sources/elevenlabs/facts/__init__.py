"""Facts about the API that only a real account shows, without any of the account's data."""

from histfs.sources.elevenlabs.facts.audio_facts import MOST_BYTES, MOST_CLIPS
from histfs.sources.elevenlabs.facts.fact_requests import MOST_REQUESTS, Fact, Unknown
from histfs.sources.elevenlabs.facts.probe import probe

__all__ = ["MOST_BYTES", "MOST_CLIPS", "MOST_REQUESTS", "Fact", "Unknown", "probe"]
