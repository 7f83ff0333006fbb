"""The directories of the cache.

CACHE/ACCOUNT/catalog.sqlite, scan.lock, audio/…      of `ACCOUNT_SOURCE`
CACHE/ACCOUNT/sources/SLOT/catalog.sqlite, …          of any other; its audio lies with the rest

SLOT is the source's name, with ``@`` and a hash behind it where the source has an account of its
own (`histfs.mounting.source_accounts`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from histfs.audio.disk_cache import DiskCache, split_key
from histfs.catalog.catalog_store import CatalogStore
from histfs.core.errors import CacheFailed
from histfs.core.file_trust import distrust_directory, distrust_links
from histfs.core.secret import Secret
from histfs.core.service import Service
from histfs.core.sizes import Fingerprint
from histfs.settings import Settings, default_cache_dir

CATALOG = "catalog.sqlite"
#: The source whose catalog lies in the account's own directory.
ACCOUNT_SOURCE = "history"
_SOURCES = "sources"

log = logging.getLogger(__name__)


def account_dir(settings: Settings) -> Path:
    """Make the directory of an account's cache if needed, close it to other users, return it.

    Raises:
        CacheFailed: it can't be made, or another user can change what is in it.
    """
    path = account_path(settings)
    try:
        refuse_strangers(settings.cache_dir, path)
        settings.cache_dir.parent.mkdir(parents=True, exist_ok=True)
        for directory in (settings.cache_dir, path):
            directory.mkdir(mode=0o700, exist_ok=True)
        refuse_strangers(settings.cache_dir, path)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise CacheFailed(f"the cache {path} can't be made: {error.strerror}") from error
    if mode & 0o077:
        _close(path, mode)
    return path


def is_new(home: Path) -> bool:
    """Say whether the cache of an account has no catalog yet."""
    others = (home / _SOURCES).glob(f"*/{CATALOG}")
    return not (home / CATALOG).exists() and next(others, None) is None


def discard(settings: Settings) -> None:
    """Remove the cache of an account, and the directory of all accounts where that is left empty.

    Nothing may use it any more.
    """
    home = account_path(settings)
    log.debug("the server does not know the key: its cache %s is removed", home)
    shutil.rmtree(home, ignore_errors=True)
    if settings.cache_dir == default_cache_dir():
        with contextlib.suppress(OSError):
            settings.cache_dir.rmdir()


def refuse_strangers(cache_dir: Path, home: Path) -> None:
    """Refuse a cache that another user may have written, or may redirect by a link.

    Args:
        cache_dir: the directory of all accounts.
        home: the directory of one of them. Neither needs to be there.

    Raises:
        CacheFailed: another user can.
        OSError: the directories can't be examined.
    """
    refused = distrust_links(home)
    if refused is None and cache_dir.exists():
        refused = distrust_directory(cache_dir)
    if refused is None and home.exists():
        # One that others can write is closed.
        refused = distrust_directory(home, writers=False)
    if refused is not None:
        raise CacheFailed(f"the cache is not used: {refused}")


def account_path(settings: Settings) -> Path:
    """Return the path of an account's cache, which may not exist.

    Its name is a hash of what tells accounts apart, for most services base URL and key: another key
    may see another history.
    """
    return settings.cache_dir / account_hash(settings.service, settings.base_url, settings.key)


def account_hash(service: Service, base_url: str, key: Secret) -> str:
    """Return 24 hexadecimal digits that name an account, and do not tell the key."""
    account = service.account_id(base_url, key).encode()
    return hashlib.blake2b(account, digest_size=12, person=b"histfs").hexdigest()


def catalog_path(home: Path, source: str | None) -> Path:
    """Return the path of a source's catalog, which may not exist."""
    return (home if source is None else home / _SOURCES / source) / CATALOG


def source_dir(home: Path, source: str | None) -> Path:
    """Return the directory of a source's catalog, made when it isn't there.

    Args:
        home: from `account_dir`.
        source: its name; None for the one in the root.

    Raises:
        CacheFailed: it can't be made.
    """
    if source is None:
        return home
    path = home / _SOURCES / source
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacheFailed(f"the cache {path} can't be made: {error.strerror}") from error
    return path


@contextlib.contextmanager
def opened_cache(
    settings: Settings,
) -> Iterator[tuple[DiskCache, Callable[[str], Fingerprint | None]]]:
    """Open the cache alone, without a server: the clips, and their fingerprints by key.

    Args:
        settings: name the cache; its cap does not apply, as no clip is added.

    Raises:
        CacheFailed, NoSpace: it can't be used.
    """
    home = account_dir(settings)
    with contextlib.ExitStack() as stack:
        stores: dict[str | None, CatalogStore] = {}

        def known(key: str) -> Fingerprint | None:
            source, own = split_key(key)
            if source not in stores:
                path = catalog_path(home, source)
                if not path.exists():
                    return None
                stores[source] = stack.enter_context(contextlib.closing(CatalogStore(path)))
            return stores[source].fingerprint(own)

        stores[None] = stack.enter_context(contextlib.closing(CatalogStore(home / CATALOG)))
        yield DiskCache(home, sys.maxsize), known


def catalogs_below(cache_dir: Path) -> list[tuple[Path, str | None]]:
    """Return where catalogs are: their account's directory, and the source; None for the root's.

    Raises:
        CacheFailed: the directory can't be read, or another user can change what is in it.
    """
    try:
        roots = [(path.parent, None) for path in sorted(cache_dir.glob(f"*/{CATALOG}"))]
        others = sorted(cache_dir.glob(f"*/{_SOURCES}/*/{CATALOG}"))
        for home in {*(home for home, _ in roots), *(path.parents[2] for path in others)}:
            refuse_strangers(cache_dir, home)
    except OSError as error:
        raise CacheFailed(f"the cache {cache_dir} can't be read: {error.strerror}") from error
    return [*roots, *((path.parents[2], path.parent.name) for path in others)]


def unusable_below(cache_dir: Path) -> list[Path]:
    """Return the catalogs that were set aside as they could not be used (`catalog.schema`)."""
    return sorted(cache_dir.glob(f"**/{CATALOG}.*.unusable*"))


def _close(path: Path, mode: int) -> None:
    """Close a directory to other users, if its filesystem has permissions."""
    try:
        path.chmod(0o700)
    except OSError as error:
        log.warning("others can read the cache %s: %s", path, error.strerror)
    else:
        log.warning("the cache %s was open to others (mode %04o): its mode is 0700 now", path, mode)
