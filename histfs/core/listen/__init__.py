"""``listen``: the clips as files with readable names, one each, with a playlist in each folder."""

from histfs.core.listen.clip_files import PREFIX, ClipFiles
from histfs.core.listen.clip_names import ClipNames, Spoken
from histfs.core.listen.contents import ContentCache, Kept, Learnt
from histfs.core.listen.listen_folder import Library, ListenFolder
from histfs.core.listen.listen_root import ListenRoot
from histfs.core.listen.tagged_audio import Said, TagSource, is_mp3

__all__ = [
    "PREFIX", "ClipFiles", "ClipNames", "ContentCache", "Kept", "Learnt", "Library", "ListenFolder",
    "ListenRoot", "Said", "Spoken", "TagSource", "is_mp3",
]  # fmt: skip
