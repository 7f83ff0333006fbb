"""Item files: the files that an item's directory holds."""

from histfs.core.files.attachment_files import AttachmentsFolder
from histfs.core.files.audio_file import AudioFile
from histfs.core.files.detail_files import (
    MetaFile,
    Rendered,
    SummaryFile,
    TextFile,
    meta_bytes,
    text_bytes,
)
from histfs.core.files.item_file import (
    ItemFile,
    ItemFolder,
    KnownSizeFile,
    StreamedFile,
    by_name,
    flattened,
    size_for,
)

__all__ = [
    "AttachmentsFolder", "AudioFile", "ItemFile", "ItemFolder", "KnownSizeFile", "MetaFile",
    "Rendered", "StreamedFile", "SummaryFile", "TextFile", "by_name", "flattened",
    "meta_bytes", "size_for", "text_bytes",
]  # fmt: skip
