"""Looks up the extended attributes of a path of a mount: in the catalog alone, without a request.

Threads: any number at once; there is no state here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from histfs.core.errors import BadAnswer, NotALink
from histfs.core.extended_attributes import attributes_of
from histfs.core.filesystem import Filesystem
from histfs.core.name_forms import is_audio_name
from histfs.core.waiting import Waiter
from histfs.mounting.account_filesystem import AccountFilesystem, source_at


def attributes_at(
    accounts: Sequence[AccountFilesystem], tree: Filesystem, path: str, waiter: Waiter
) -> Mapping[str, bytes]:
    """Return the attributes of a path; none of a link, and of one that is not an item's.

    The kernel gives out no attributes ``user.…`` of links (xattr(7)): a list of them would fail
    programs that copy what is listed.

    Args:
        accounts: of the mount.
        tree: the filesystem of all of them.
        path: from the root of the mount.
        waiter: for the lookup of the path.

    Raises:
        As `Filesystem.item`.
    """
    found = tree.item(path, waiter)
    if found is None or _is_link(tree, path, waiter):
        return {}
    item, facets = found
    account, rest = _account_of(accounts, path)
    mounted = source_at(account.sources, rest)
    try:
        details = mounted.catalog.known(item)
    except BadAnswer:
        details = None  # of an object that can't be parsed
    known = mounted.audio.sizes.fingerprint(item.key)
    return attributes_of(
        item,
        facets,
        None if details is None else details.text,
        sha256=None if known is None else known.sha256,
        is_audio=is_audio_name(path.rpartition("/")[2]),
    )


def _is_link(tree: Filesystem, path: str, waiter: Waiter) -> bool:
    try:
        tree.readlink(path, waiter)
    except NotALink:
        return False
    return True


def _account_of(accounts: Sequence[AccountFilesystem], path: str) -> tuple[AccountFilesystem, str]:
    """Return the account of a path, and the path from its own root."""
    folder, _, rest = path.lstrip("/").partition("/")
    for account in accounts:
        if account.settings.folder and account.settings.folder == folder:
            return account, f"/{rest}"
    return accounts[0], path
