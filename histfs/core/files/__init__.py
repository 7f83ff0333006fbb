"""Item files: the files that an item's directory holds."""

from histfs.core.files.attachments import AttachmentsFolder
from histfs.core.files.audio import AudioFile
from histfs.core.files.base import ItemFile, ItemFolder, Rendered, by_name, flattened
from histfs.core.files.meta import MetaFile
from histfs.core.files.summary import SummaryFile
from histfs.core.files.text import TextFile

__all__ = [
    "AttachmentsFolder",
    "AudioFile",
    "ItemFile",
    "ItemFolder",
    "MetaFile",
    "Rendered",
    "SummaryFile",
    "TextFile",
    "by_name",
    "flattened",
]
