"""Exit statuses of the commands, after sysexits.h (see EXIT STATUS in histfs(1)).

1  a path that doesn't exist or can't be listed, read or deleted; output that can't be written
2  the command line, an unusable mountpoint, or an item that is not in the trash
65  damaged clips in the cache, or damaged files in the trash
69  the server, a mount, FUSE, or a player is unavailable
70  a bug
75  try again later
77  the key is missing or refused, or lacks a permission
78  the configuration
"""

from __future__ import annotations

from histfs.audio.verification import CacheDamaged
from histfs.cli.error_reporting import MountFailed, NoPlayer, PortBusy, Refused
from histfs.core.errors import (
    CacheFailed,
    DeadlineExceeded,
    HistfsError,
    Interrupted,
    KeyRefused,
    MissingPermission,
    NoSpace,
    NotArchived,
    NotComplete,
    NotReady,
    PathError,
    RateLimited,
    SourceError,
    Unreachable,
)
from histfs.exporting.errors import (
    ClusterFailed,
    DestinationBusy,
    DestinationFailed,
    NoDask,
    NoParquet,
    ObjectDiffers,
    TableDamaged,
)
from histfs.fuse.binding import FuseUnavailable
from histfs.fuse.mountpoint import MountpointBusy, MountpointError
from histfs.plugins import UnknownPlugin
from histfs.serving.errors import ServeUnavailable
from histfs.settings import NoKey, OptionError, SettingsError
from histfs.status import NoStatus
from histfs.trash import NotInTrash, TrashDamaged, TrashFailed

#: The exit status of each error; a subclass has that of its nearest base in the table.
STATUS: dict[type[BaseException], int] = {
    MountpointBusy: 75,
    PortBusy: 75,
    MountpointError: 2,
    FuseUnavailable: 69,
    NoStatus: 69,
    NoPlayer: 69,
    MountFailed: 69,
    KeyRefused: 77,
    NoKey: 77,
    OptionError: 2,
    SettingsError: 78,
    CacheFailed: 78,
    CacheDamaged: 65,
    TrashDamaged: 65,
    TrashFailed: 78,
    NotInTrash: 2,
    DestinationFailed: 78,
    DestinationBusy: 75,
    ObjectDiffers: 65,
    TableDamaged: 65,
    NoParquet: 69,
    ServeUnavailable: 69,
    NoDask: 69,
    ClusterFailed: 69,
    RateLimited: 75,
    NotReady: 75,
    UnknownPlugin: 2,
    DeadlineExceeded: 75,
    NotComplete: 75,
    Interrupted: 75,
    NoSpace: 75,
    SourceError: 69,
    PathError: 1,
    Refused: 1,
}

_ADVICE: dict[type[BaseException], str] = {
    MissingPermission: "give the key this permission",
    KeyRefused: "check the key",
    Unreachable: "check the network, --region and --base-url",
    RateLimited: "try again in a minute",
    DeadlineExceeded: "try again, or give a longer --timeout",
}

#: The status of an exception that is not in the table.
BUG = 70


def exit_status(error: BaseException) -> int:
    """Return the exit status for an exception."""
    if isinstance(error, NotArchived) and error.__cause__ is not None:
        return exit_status(error.__cause__)  # the trash, the cache, the server or the key
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), BUG)


def with_advice(error: BaseException) -> str:
    """Return the message of an exception with what the user can do about it."""
    own = error.advice if isinstance(error, HistfsError) else ""
    advice = own or next((_ADVICE[kind] for kind in type(error).__mro__ if kind in _ADVICE), None)
    return f"{error}; {advice}" if advice else str(error)
