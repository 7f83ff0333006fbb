"""Item files: the files that an item's directory holds."""

from histfs.core.files.audio import AudioFile
from histfs.core.files.base import ItemFile
from histfs.core.files.meta import MetaFile
from histfs.core.files.text import TextFile

__all__ = ["AudioFile", "ItemFile", "MetaFile", "TextFile"]
