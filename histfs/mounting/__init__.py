"""The composition root: settings become sources, catalogs, trees and a mount.

Everything that runs threads or holds a file is made here, and let go of here in reverse order.

`histfs.mounting.serve` isn't imported here: it alone needs FUSE.
"""

from histfs.mounting.account_filesystem import AccountFilesystem, compose
from histfs.mounting.cache_layout import account_dir, account_path, opened_cache
from histfs.mounting.direct_tree import DirectTree, HistoryFile, open_tree
from histfs.mounting.mounted_source import MountedSource

__all__ = [
    "AccountFilesystem",
    "DirectTree",
    "HistoryFile",
    "MountedSource",
    "account_dir",
    "account_path",
    "compose",
    "open_tree",
    "opened_cache",
]
