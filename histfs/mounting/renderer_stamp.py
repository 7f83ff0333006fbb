"""The stamp of the code that renders the files of items: another stamp, perhaps other bytes.

Sizes of rendered files are kept in the catalog (`histfs.catalog.rendered_sizes`), and hold for the
code that made the bytes alone. A number that has to be raised by hand would be forgotten once; so
the stamp is a hash of the code itself, and of the versions of what it stands on: Python has its own
JSON and table of characters, and msgspec formats an object.

The code is read from its files. Where they were changed after this process had loaded them, as by
an upgrade, they are not what it renders with, and it has no stamp.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
import time
import unicodedata
from pathlib import Path

import msgspec

from histfs import __version__

_PACKAGE = Path(__file__).parent.parent
#: When the code was loaded, in seconds since the epoch.
_LOADED_AT = time.time()
#: The modules, and the packages, on which the bytes of rendered files may depend.
_CODE = (
    "core/captions",
    "core/files",
    "core/generational_cache.py",
    "core/item.py",
    "core/names.py",
    "core/source.py",
    "catalog/rendered_sizes.py",
    "sources/elevenlabs",
)

log = logging.getLogger(__name__)


@functools.cache  # of the code that this process has loaded
def renderer_stamp() -> int | None:
    """Return a hash of 63 bits; None where the code can't be read, or is not what was loaded."""
    digest = hashlib.blake2b(digest_size=8)
    versions = (__version__, sys.version, unicodedata.unidata_version, msgspec.__version__)
    digest.update("\0".join(versions).encode())
    try:
        for file in code_files():
            with file.open("rb") as opened:
                content = opened.read()
                # Not the time of the last change of its bytes, which a package may bring with it.
                if os.fstat(opened.fileno()).st_ctime > _LOADED_AT:
                    log.debug("sizes of rendered files are not kept: %s is newer", file)
                    return None
            digest.update(f"\0{file.relative_to(_PACKAGE)}\0{len(content)}\0".encode())
            digest.update(content)
    except OSError as error:
        log.debug("sizes of rendered files are not kept, the code can't be read: %s", error)
        return None
    return int.from_bytes(digest.digest(), "big") >> 1


def code_files() -> list[Path]:
    """Return the files of the code on which the bytes of rendered files may depend.

    Raises:
        OSError: they are not there, as in a package that is run from an archive.
    """
    files: list[Path] = []
    for place in (_PACKAGE / each for each in _CODE):
        found = sorted(place.rglob("*.py")) if place.suffix != ".py" else [place]
        if not found:
            raise FileNotFoundError(place)
        files += found
    return files
