"""Item files: the files that an item's directory holds."""

from histfs.core.files.attachment_files import AttachmentsFolder
from histfs.core.files.audio_file import AudioFile
from histfs.core.files.item_file import (
    ItemFile,
    ItemFolder,
    KnownSizeFile,
    Rendered,
    by_name,
    flattened,
)
from histfs.core.files.meta_file import MetaFile
from histfs.core.files.summary_file import SummaryFile
from histfs.core.files.text_file import TextFile

__all__ = [
    "AttachmentsFolder",
    "AudioFile",
    "ItemFile",
    "ItemFolder",
    "KnownSizeFile",
    "MetaFile",
    "Rendered",
    "SummaryFile",
    "TextFile",
    "by_name",
    "flattened",
]
