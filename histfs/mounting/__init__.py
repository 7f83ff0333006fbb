"""The composition root: settings become sources, catalogs, trees and a mount.

Everything that runs threads or holds a file is made here, and let go of here in reverse order.
"""

from histfs.mounting.accounts import account_dir, account_path, opened_cache
from histfs.mounting.collection import Collection
from histfs.mounting.filesystem import Filesystem, compose
from histfs.mounting.mount import demo, serve

__all__ = [
    "Collection",
    "Filesystem",
    "account_dir",
    "account_path",
    "compose",
    "demo",
    "opened_cache",
    "serve",
]
