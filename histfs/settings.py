"""What a command is told: flags, environment, configuration file, defaults, in one frozen object.

The command line puts them together in that order (click reads flags and environment, `config` the
file); here they are read and checked, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from histfs.core.errors import HistfsError
from histfs.core.secret import Secret
from histfs.core.server_url import is_loopback, parse_server_url
from histfs.core.service import NO_SERVICE, Service

#: The variable from which the official command line reads its base URL.
OFFICIAL_BASE_URL = "ELEVENLABS_BASE_URL"
#: What an account is called that has no profile.
DEFAULT_PROFILE = "default"
#: Programs that look into each file of a folder: tumbler and the thumbnailers that file managers
#: start, Tracker and what it is called today, Baloo, locate.
DEFAULT_CRAWLERS = (
    "tumblerd", "*thumbnailer", "tracker-extract*", "tracker-miner*", "localsearch*", "baloo_file*",
    "updatedb*",
)  # fmt: skip

_LARGEST = 1 << 62
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class SettingsError(HistfsError):
    """A setting that can't be used; the message says which one and what to do."""


class OptionError(SettingsError):
    """An option has a value that it can't have, wherever the value comes from."""


class NoKey(SettingsError):
    """No API key was given."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """What ``-o`` says.

    Attributes:
        read_only: ``ro``.
        links: ``placement=links`` (the default) rather than ``placement=dir``.
        nonempty: whether the mountpoint may have files in it, which are hidden then.
        umask: permissions that no node has.
        uid: owner of every node.
        gid: group of every node.
        sources: ``sources=…``; None where it isn't given.
        views: the same of ``views=…``.
        files: the same of ``files=…``.
        fuse: what goes on to libfuse.
    """

    read_only: bool = False
    links: bool = True
    nonempty: bool = False
    umask: int = 0o077
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    sources: tuple[str, ...] | None = None
    views: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = None
    fuse: Mapping[str, bool | str] = field(default_factory=dict)

    def exposure(self) -> str | None:
        """Say in one line who else can read the history; None where nobody was asked in."""
        if not self.fuse.get("allow_other"):
            return None
        if 0o005 & ~self.umask:
            return "allow_other: the whole history is readable to every user of this machine"
        if 0o050 & ~self.umask:
            return f"allow_other: the whole history is readable to the group {self.gid}"
        return (
            f"allow_other: with umask={self.umask:03o} the history is readable to its owner alone;"
            " with umask=022 it would be to every user of this machine"
        )


def default_trash() -> Path:
    """Return the trash of the user (XDG base directories)."""
    return platformdirs.user_data_path("histfs") / "trash"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a mount needs to know, but where to mount.

    Attributes:
        base_url: scheme and host of the API.
        key: the API key.
        service: whose account it is.
        profile: a name for the account, shown by mount(8) and findmnt(8).
        cache_dir: where the catalog and the audio are kept, a directory for each account.
        trash: where copies of deleted items are kept; None for nowhere.
        options: what ``-o`` says.
        listing_ttl: seconds for which a listing is fresh.
        rescan: seconds after which what is known is asked for again in the background; 0 for never.
        audio_cache_size: bytes of audio that are kept.
        max_clip_size: bytes that a clip, or an attachment, may have; a larger one is not fetched.
        connections: requests at once, a listing that is waited for not included.
        timezone: the zone in which days begin; None for the machine's.
        exact_sizes: whether stat fetches a clip to know its size.
        crawlers: patterns of the names of programs for which no audio is fetched.
        timeout: seconds after which any call ends.
        debug: whether libfuse prints each call.
        sources: names of the sources to mount; None for all that are installed.
        views: names of the views, in their order; None for each source's own, and those of other
            packages.
        files: the same for the files of an item.
        source_options: the tables of the configuration file that are for sources, by their names.
        folder: the folder under the root in which the account stands; empty for the root itself.
    """

    base_url: str
    key: Secret
    cache_dir: Path
    service: Service = NO_SERVICE
    profile: str = DEFAULT_PROFILE
    trash: Path | None = field(default_factory=default_trash)
    options: MountOptions = field(default_factory=MountOptions)
    listing_ttl: float = 30.0
    rescan: float = 86_400.0
    audio_cache_size: int = 2 << 30
    max_clip_size: int = 4 << 30
    connections: int = 8
    timezone: str | None = None
    exact_sizes: bool = False
    crawlers: tuple[str, ...] = DEFAULT_CRAWLERS
    timeout: float = 30.0
    debug: bool = False
    sources: tuple[str, ...] | None = None
    views: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = None
    source_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: str = ""


def default_cache_dir() -> Path:
    """Return the cache directory of the user (XDG base directories)."""
    return platformdirs.user_cache_path("histfs")


def parse_size(text: str) -> int:
    """Return the bytes that a size such as ``500M`` or ``2G`` stands for.

    Raises:
        OptionError: it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise OptionError(f"{text!r} is not a size: give bytes, or a number with K, M, G or T")
    size = float(match[1]) * _UNITS[match[2].upper()]
    if size >= _LARGEST:
        raise OptionError(f"{text!r} is more than any disk holds")
    return int(size)


def parse_size_limit(text: str) -> int:
    """Return the bytes that a size stands for which is a limit, and so more than none.

    Raises:
        OptionError: it is no such size.
    """
    size = parse_size(text)
    if size < 1:
        raise OptionError(f"{text!r} would let nothing through: give at least 1 byte")
    return size


def parse_duration(text: str) -> float:
    """Return the seconds that a time such as ``90``, ``15m``, ``24h`` or ``7d`` stands for.

    Raises:
        OptionError: it is no such time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip(), re.IGNORECASE)
    if not match:
        raise OptionError(f"{text!r} is not a time: give seconds, or a number with m, h or d")
    return min(float(match[1]) * _SECONDS[match[2].lower()], _LARGEST)


def parse_patterns(text: str) -> tuple[str, ...]:
    """Return the patterns of a list that has commas between them; there may be none."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def parse_names(option: str, text: str) -> tuple[str, ...]:
    """Return the names in a list that has ``+`` between them, each once.

    Args:
        option: that has it, for the error.
        text: the list.

    Raises:
        OptionError: one of them is empty.
    """
    advice = f"{option} {text!r}: give names with + between them (histfs plugins)"
    return split_names(text, "+", advice)


def split_names(text: str, mark: str, advice: str) -> tuple[str, ...]:
    """Return the names in a list, each once.

    Args:
        text: the list.
        mark: stands between names.
        advice: what is said of a list with an empty one.

    Raises:
        OptionError: one of them is empty.
    """
    names = [name.strip() for name in text.split(mark)]
    if not all(names):
        raise OptionError(advice)
    return tuple(dict.fromkeys(names))


def parse_base_url(text: str, insecure_http: bool = False) -> str:
    """Return a base URL in the one form in which it is used: without the slash at its end.

    Args:
        text: the URL.
        insecure_http: whether the key may go to another machine without TLS.

    Raises:
        OptionError: it is no http or https URL, holds more than scheme, host, port and path, is
            written ambiguously, or the key would be sent for all on the way to read.
    """
    try:
        url = parse_server_url(text)
    except ValueError as error:
        # What stands before an @ may be a password.
        shown = re.sub(r"\A(https?://)?.*@", r"\1***@", text, flags=re.IGNORECASE | re.DOTALL)
        reason = "" if "@" in text else f" ({error})"
        raise OptionError(
            f"{shown!r} is not a base URL{reason}: give one like https://api.example.com"
        ) from None
    if url.scheme == "http" and not (insecure_http or is_loopback(url.host)):
        raise OptionError(
            f"{text!r} would send the API key in the clear: give an https URL, or --insecure-http"
        )
    return str(url)


# What mount(8) passes on from fstab, or what histfs sets itself.
_IGNORED = {
    "rw", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "_netdev", "nofail",
    "nosuid", "nodev", "noexec", "suid", "dev", "exec", "default_permissions", "relatime",
}  # fmt: skip
_FLAGS = {"allow_other", "allow_root", "noatime", "max_read", "context", "fsname"}
_REFUSED = {
    "auto_unmount": "a backup that runs while the process ends would see an empty directory",
    "direct_io": "programs that map files into memory would fail",
    "intr": "calls can be interrupted without it",
}


def parse_mount_options(texts: Iterable[str]) -> MountOptions:
    """Read the arguments of ``-o``.

    Args:
        texts: each one or several options, separated by commas.

    Raises:
        OptionError: an option is unknown, refused, or has a value that it can't have.
    """
    known: dict[str, Any] = {}
    fuse: dict[str, bool | str] = {}
    for option in filter(None, ",".join(texts).split(",")):
        name, has_value, value = option.partition("=")
        if name in _REFUSED:
            raise OptionError(f"-o {name} is refused: {_REFUSED[name]}")
        if name in _IGNORED or name.startswith("x-"):
            continue
        if name in _FLAGS:
            fuse[name] = value if has_value else True
        elif name == "ro" and not has_value:
            known["read_only"] = True
        elif name == "nonempty" and not has_value:
            known["nonempty"] = True
        elif name == "placement":
            known["links"] = _choice(option, value, {"links": True, "dir": False})
        elif name in ("sources", "views", "files"):
            known[name] = parse_names(f"-o {name}", value)
        elif name in ("umask", "uid", "gid"):
            known[name] = _number(option, value, 8 if name == "umask" else 10)
        else:
            raise OptionError(f"-o {option} is not known; see histfs mount --help")
    return MountOptions(fuse=fuse, **known)


def _choice(option: str, value: str, choices: Mapping[str, bool]) -> bool:
    if value not in choices:
        raise OptionError(f"-o {option}: choose one of {', '.join(choices)}")
    return choices[value]


def _number(option: str, value: str, base: int) -> int:
    digits = "01234567" if base == 8 else "0123456789"
    if not value or len(value) > 10 or value.strip(digits):
        raise OptionError(f"-o {option}: not a number")
    return int(value, base)
