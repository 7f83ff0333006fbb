"""A `Filesystem` in memory, for tests of front ends that need files and directories of any name."""

from __future__ import annotations

import stat

from histfs.core.errors import IsADirectory, NoSuchPath, NotADirectory, NotALink, NotPermitted
from histfs.core.nodes import Attributes, BytesFile, DirEntry, WholeFile, directory, inode_of


class StaticFilesystem:
    """Directories are dicts, files are bytes."""

    def __init__(self, root):
        self._root = root

    def _node(self, path):
        node = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(node, dict):
                raise NotADirectory(path)
            if name not in node:
                raise NoSuchPath(path)
            node = node[name]
        return node

    def stat(self, path, waiter):
        node, inode = self._node(path), inode_of(path)
        if isinstance(node, dict):
            return directory(inode, 1)
        return Attributes(stat.S_IFREG, inode, 1, len(node), 1)

    def stat_files(self, path, waiter):
        node = self._node(path)
        names = [name for name in node if not isinstance(node[name], dict)]
        return {name: self.stat(f"{path}/{name}", waiter) for name in names}

    def listdir(self, path, waiter):
        node = self._node(path)
        kinds = {
            name: stat.S_IFDIR if isinstance(node[name], dict) else stat.S_IFREG for name in node
        }
        return [DirEntry(name, kind, inode_of(path, name)) for name, kind in kinds.items()]

    def readlink(self, path, waiter):
        raise NotALink(path)

    def item(self, path, waiter):
        return None

    def open(self, path, waiter):
        node = self._node(path)
        if isinstance(node, dict):
            raise IsADirectory(path)
        return self.stat(path, waiter), BytesFile(node)

    def stream(self, path, waiter):
        return WholeFile(self.open(path, waiter)[1])

    def delete(self, path, waiter):
        raise NotPermitted(path)

    unlink = rmdir = delete
