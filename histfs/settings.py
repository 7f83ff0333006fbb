"""The settings of a command in one frozen object, and the parsers of their values.

Sources of a value, in order: flag, environment, configuration file, default. click reads flags and
environment, `histfs.config` the file, and `histfs.cli.options` builds the object.
"""

from __future__ import annotations

import difflib
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
#: The profile name of an account without a profile.
DEFAULT_PROFILE = "default"

#: Maximum of a size in bytes, and of a time in seconds.
_MAX_NUMBER = 1 << 62
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: Each separator of a list of names, and how an error explains it.
_SEPARATORS = {"+": "+ between them (histfs plugins)", ",": "commas between them: work,home"}


class SettingsError(HistfsError):
    """A setting can't be used; the message says which one and what to do."""


class OptionError(SettingsError):
    """An option has an invalid value, from whatever source."""


class NoKey(SettingsError):
    """No API key was given."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The mount options, the arguments of ``-o``.

    Attributes:
        read_only: ``ro``.
        links: ``placement=links`` (the default) rather than ``placement=dir``.
        nonempty: whether the mountpoint may contain files, which the mount hides.
        umask: permission bits that no node has.
        uid: owner of every node.
        gid: group of every node.
        sources: names of ``sources=…``; None if it isn't given.
        views: names of ``views=…``, likewise.
        files: names of ``files=…``, likewise.
        programs: the file of ``programs=…``; None if it isn't given.
        listen: ``hide`` for a folder ``listen`` that no listing shows, ``show`` or ``off``.
        tags: whether audio in that folder has ID3 tags.
        xattr: whether files have extended attributes.
        fuse: options for libfuse.
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
    programs: Path | None = None
    listen: str = "hide"
    tags: bool = False
    xattr: bool = False
    fuse: Mapping[str, bool | str] = field(default_factory=dict)

    def exposure(self) -> str | None:
        """Return a line about the users who can read the history; None without allow_other."""
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
    """Return the user's trash directory (XDG Base Directory Specification)."""
    return platformdirs.user_data_path("histfs") / "trash"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one account, for a mount or a command without one.

    Attributes:
        base_url: scheme and host of the API.
        key: the API key.
        service: the service of the account.
        profile: the account's name, shown by mount(8) and findmnt(8).
        cache_dir: directory of the catalogs and the audio, with a subdirectory for each account.
        trash: directory of the copies of deleted items; None for no trash.
        options: the mount options.
        listing_ttl: seconds for which a listing is fresh.
        rescan: seconds after which known items are listed again in the background; 0 for never.
        audio_cache_size: maximum size of the audio cache in bytes.
        max_clip_size: maximum bytes of a clip or an attachment; a larger one is not fetched.
        connections: maximum number of concurrent requests, without those of a waiting listing.
        timezone: the zone in which days begin; None for the one that is fixed in the cache.
        exact_sizes: whether stat fetches a clip to know its size.
        programs: a file that extends the table of programs; None for none.
        crawlers: patterns of the names of programs for which no audio is fetched; None for those
            of the table of programs.
        timeout: seconds after which any call ends.
        debug: whether libfuse prints each call.
        sources: names of the sources to mount; None for all that are installed.
        views: names of the views, in order; None for those that each source names, and those of
            other packages.
        files: names of the files of an item, likewise.
        source_options: the options of each source, from the configuration file.
        folder: the folder of the account under the root; empty for the root itself.
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
    programs: Path | None = None
    crawlers: tuple[str, ...] | None = None
    timeout: float = 30.0
    debug: bool = False
    sources: tuple[str, ...] | None = None
    views: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = None
    source_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: str = ""


def default_cache_dir() -> Path:
    """Return the user's cache directory (XDG Base Directory Specification)."""
    return platformdirs.user_cache_path("histfs")


def parse_size(text: str) -> int:
    """Parse a size such as ``500M`` or ``2G`` into bytes.

    Raises:
        OptionError: the text is not a size, or a small number whose unit was probably forgotten.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise OptionError(f"{text!r} is not a size: give bytes, or a number with K, M, G or T")
    size = float(match[1]) * _BYTES[match[2].upper()]
    if text.strip() == match[1] and 0 < size < _BYTES["M"]:
        raise OptionError(
            f"{text!r} is so many bytes: add the unit that you mean, such as {match[1]}M or"
            f" {match[1]}G ({match[1]}B for bytes)"
        )
    if size >= _MAX_NUMBER:
        raise OptionError(f"{text!r} is more than any disk holds")
    return int(size)


def parse_size_limit(text: str) -> int:
    """Parse a size that is a limit, and therefore at least one byte.

    Raises:
        OptionError: the text is not such a size.
    """
    size = parse_size(text)
    if size < 1:
        raise OptionError(f"{text!r} would let nothing through: give at least 1 byte")
    return size


def parse_duration(text: str) -> float:
    """Parse a time such as ``90``, ``15m``, ``24h`` or ``7d`` into seconds.

    Raises:
        OptionError: the text is not a time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip(), re.IGNORECASE)
    if not match:
        raise OptionError(f"{text!r} is not a time: give seconds, or a number with m, h or d")
    return min(float(match[1]) * _SECONDS[match[2].lower()], _MAX_NUMBER)


def parse_patterns(text: str) -> tuple[str, ...]:
    """Parse a list of patterns, separated by commas; it may be empty."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def parse_names(option: str, text: str, separator: str = "+") -> tuple[str, ...]:
    """Parse a list of names; a repeated name counts once.

    Args:
        option: the option, for the error.
        text: the list.
        separator: ``+``, in place of which a comma is taken, too; or ``,``.

    Raises:
        OptionError: a name is empty.
    """
    names = [name.strip() for name in text.replace(",", separator).split(separator)]
    if not all(names):
        raise OptionError(f"{option} {text!r}: give names with {_SEPARATORS[separator]}")
    return tuple(dict.fromkeys(names))


def parse_base_url(text: str, insecure_http: bool = False) -> str:
    """Parse a base URL, and return it normalized, without a slash at its end.

    Args:
        text: the URL.
        insecure_http: whether the key may be sent to another machine without TLS.

    Raises:
        OptionError: the text is not an http or https URL, has more than scheme, host, port and
            path, is ambiguous, or would send the key in the clear.
    """
    try:
        url = parse_server_url(text)
    except ValueError as error:
        # The text before an @ may be a password.
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


#: Options that mount(8) passes on from fstab, or that histfs sets itself.
_IGNORED = {
    "rw", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "_netdev", "nofail",
    "nosuid", "nodev", "noexec", "suid", "dev", "exec", "default_permissions", "relatime",
}  # fmt: skip
_NAMED = {
    "ro", "nonempty", "placement", "sources", "views", "files", "programs", "umask", "uid", "gid",
    "listen", "tags", "xattr",
}  # fmt: skip
#: Options without a value, and those of a few values, with the fields of `MountOptions`.
_SWITCHES = {"ro": "read_only", "nonempty": "nonempty", "tags": "tags", "xattr": "xattr"}
_CHOICES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "placement": ("links", {"links": True, "dir": False}),
    "listen": ("listen", {"show": "show", "hide": "hide", "off": "off"}),
}
_FLAGS = {"allow_other", "allow_root", "noatime", "max_read", "context", "fsname"}
_REFUSED = {
    "auto_unmount": "a backup that runs while the process ends would see an empty directory",
    "direct_io": "programs that map files into memory would fail",
    "intr": "calls can be interrupted without it",
}


def parse_mount_options(texts: Iterable[str]) -> MountOptions:
    """Parse the arguments of ``-o``.

    Args:
        texts: each has one or several options, separated by commas.

    Raises:
        OptionError: an option is unknown or refused, or has an invalid value.
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
        elif name in _SWITCHES and not has_value:
            known[_SWITCHES[name]] = True
        elif name in _CHOICES:
            field_name, choices = _CHOICES[name]
            known[field_name] = _choice(option, value, choices)
        elif name in ("sources", "views", "files"):
            known[name] = parse_names(f"-o {name}", value)
        elif name == "programs" and value:
            known["programs"] = Path(value)
        elif name in ("umask", "uid", "gid"):
            known[name] = _number(option, value, 8 if name == "umask" else 10)
        else:
            nearest = difflib.get_close_matches(name, _NAMED | _FLAGS, 1)
            guess = f": did you mean {nearest[0]}?" if nearest else "; see histfs mount --help"
            raise OptionError(f"-o {option} is not known{guess}")
    return MountOptions(fuse=fuse, **known)


def _choice(option: str, value: str, choices: Mapping[str, object]) -> object:
    if value not in choices:
        raise OptionError(f"-o {option}: choose one of {', '.join(choices)}")
    return choices[value]


def _number(option: str, value: str, base: int) -> int:
    digits = "01234567" if base == 8 else "0123456789"
    if not value or len(value) > 10 or value.strip(digits):
        raise OptionError(f"-o {option}: not a number")
    return int(value, base)
