"""Mount an ElevenLabs history as a folder, or open it as a tree (`histfs.open`)."""

from histfs.api import open_history as open

__all__ = ["__version__", "open"]
__version__ = "0.1.0"
