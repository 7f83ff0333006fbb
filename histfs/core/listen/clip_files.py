"""The files of clips in ``listen``, by their names: what the folders of one source share.

Threads: any number at once; nothing here changes after it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from histfs.core.files import AudioFile, ItemFile
from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.listen.clip_names import ClipNames
from histfs.core.listen.tagged_audio import TaggedAudio, TagSource
from histfs.core.nodes import Attributes
from histfs.core.path_nodes import ItemFileNode
from histfs.core.sizes import FileSize
from histfs.core.tree import Tree

#: What the names of the files begin with at home that are shown here.
PREFIX = "audio."


class ClipFile(NamedTuple):
    """A file of an item.

    Attributes:
        name: its name here.
        node: the file at home.
        file: what is read: the same file, or its audio with a tag.
    """

    name: str
    node: ItemFileNode
    file: ItemFile

    @property
    def is_audio(self) -> bool:
        """Whether it is the item's audio."""
        return self.node.file.deletes


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """The files of the clips of one source.

    Attributes:
        home: the tree in which the items have their home.
        index: the items.
        names: of the clips.
        tags: makes tags; None where clips have none.
        links: the link count of audio with a tag.
    """

    home: Tree
    index: Index
    names: ClipNames
    tags: TagSource | None
    links: int

    def of(self, item: Item) -> list[ClipFile]:
        """Return the files of an item; none if it has no audio."""
        name = self.names.name(item.date, item.key)
        if name is None:
            return []
        own = self.home.files(item).items()
        shown = ((listed[len(PREFIX) :], node) for listed, node in own if listed.startswith(PREFIX))
        files = [self._file(f"{name}.{extension}", node) for extension, node in shown]
        return files if any(file.is_audio for file in files) else []

    def find(self, name: str) -> ClipFile | None:
        """Return the file with a name, listed or lasting; None if there is none."""
        stem, _, extension = name.rpartition(".")
        listed = self.names.find(stem)
        item = listed and self.index.find(listed.key, listed.date)
        if item is None:
            return None
        own, wanted = self.home.files(item), f"{PREFIX}{extension}"
        if not any(node.file.deletes for node in own.values()):
            return None
        named = (node for known, node in own.items() if wanted in (known, node.name))
        return next((self._file(name, node) for node in named), None)

    def attributes(self, clip: ClipFile, size: FileSize) -> Attributes:
        """Return the attributes of a file that has a size."""
        attributes = self.home.file_attributes(clip.node, size)
        tagged = isinstance(clip.file, TaggedAudio) and clip.file.applies_to(clip.node.item)
        if not tagged:
            return attributes
        return attributes._replace(inode=self.home.inodes.tagged(clip.node), links=self.links)

    def inode(self, clip: ClipFile) -> int:
        """Return the inode of a file."""
        tagged = isinstance(clip.file, TaggedAudio)
        return self.home.inodes.tagged(clip.node) if tagged else self.home.inodes.file(clip.node)

    def _file(self, name: str, node: ItemFileNode) -> ClipFile:
        file = node.file
        if self.tags is not None and isinstance(file, AudioFile):
            tagged = TaggedAudio(file, self.tags)
            file = tagged if tagged.applies_to(node.item) else file
        return ClipFile(name, node, file)
