"""Item files: the files that an item's directory holds."""

from histfs.core.files.attachment_files import AttachmentsFolder
from histfs.core.files.item_files import (
    AudioFile,
    ItemFile,
    ItemFolder,
    KnownSizeFile,
    MetaFile,
    Rendered,
    StreamedFile,
    SummaryFile,
    TextFile,
    by_name,
    flattened,
    meta_bytes,
    size_for,
    text_bytes,
)

__all__ = [
    "AttachmentsFolder", "AudioFile", "ItemFile", "ItemFolder", "KnownSizeFile", "MetaFile",
    "Rendered", "StreamedFile", "SummaryFile", "TextFile", "by_name", "flattened",
    "meta_bytes", "size_for", "text_bytes",
]  # fmt: skip
