"""The public call of histfs as a library: an account's history as a tree, without a mount.

import histfs

with histfs.open(profile="work") as history:
for entry in history.listdir("/by-voice/Rachel"):
with history.open(f"/by-voice/Rachel/{entry.name}/text.txt") as file:
print(file.read().decode(), end="")
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# That of the module typing, whose import would take as long as everything else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from histfs.mounting import DirectTree
    from histfs.settings import Settings

Option = str | int | float | bool | os.PathLike[str] | list[str] | tuple[str, ...] | None


@contextlib.contextmanager
def open_history(
    api_key: str | None = None, *, settings: Settings | None = None, **options: Option
) -> Iterator[DirectTree]:
    """Open the history of an account, for the time of a ``with`` block.

    It shows what a mount shows, shares its cache, and asks the server no more than a mount does.
    Neither a FUSE library nor the command line is imported.

    Args:
        api_key: the API key; None to find it as the command line does: in a file or by a command
            that the options or the configuration file name, a systemd credential, or the
            environment.
        settings: the settings of the account, in place of all else.
        options: the options of ``histfs ls`` (histfs(1)), with underscores, such as
            ``profile="work"``, ``timezone="UTC"`` or ``trash="/backup/trash"``; others come from
            the environment (``HISTFS_…``) and the configuration file.

    Yields:
        The tree; see `histfs.mounting.DirectTree`.

    Raises:
        HistfsError: an option can't be used, there is no key, or the cache can't be opened.
        TypeError: there is no such option, or settings are given with others.
    """
    # Imported late: `import histfs` is for a program that may never open a history.
    from histfs.account_settings import settings_of  # noqa: PLC0415
    from histfs.mounting.direct_tree import open_tree  # noqa: PLC0415

    if settings is None:
        settings = settings_of(api_key, options)
    elif api_key is not None or options:
        raise TypeError("histfs.open() takes settings, or a key and options, not both")
    with open_tree(settings) as tree:
        yield tree
