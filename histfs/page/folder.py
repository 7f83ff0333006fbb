"""Reads the items below a folder of this machine: of a mount, or of a copy of one.

No audio is opened. In a mount the server is asked for listings alone, as by find(1); what only the
details of a conversation tell is shown where a command or another program has asked for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from histfs.core.bounded_input import InputFailed, opened, read_all
from histfs.core.errors import BadAnswer
from histfs.core.files.item_files import ESTIMATE
from histfs.core.name_forms import is_audio_name, key_in
from histfs.core.times import Zone
from histfs.page.clip import PageClip
from histfs.page.described import Described, described
from histfs.sources.elevenlabs.conversation_objects import details_of as conversation_details

#: The local time in the name of an item's directory.
_STAMP = re.compile(r"(\d{4,}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)_")
_META, _SUMMARY, _TEXT = "meta.json", "summary.json", "text.txt"
#: Bytes of a file, and seconds until its end: more than any that histfs writes.
_MOST, _PATIENCE = 64 << 20, 60.0

#: Takes the path of a file that can't be used, and why.
Tell = Callable[[Path, str], None]


def items_below(root: Path) -> Iterator[tuple[Path, Collection[str]]]:
    """Yield the directories of the items below a path, each with the names in it.

    A link is followed where it leads to an item, and no item comes twice, under whatever views: the
    name of its directory is unique.

    Args:
        root: a folder, or a file of an item.

    Raises:
        OSError: a folder can't be listed.
    """
    root.lstat()  # an error for a path that is not there
    if not root.is_dir():
        above = [each for each in root.parents[:2] if _is_item(os.listdir(each))]  # noqa: PTH208
        if not above:
            return
        root = above[0]
    elif root.is_symlink() and _is_item(os.listdir(root)):  # noqa: PTH208
        root = _target(root)
    seen: set[str] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        if folder.name in seen:
            continue
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name, reverse=True)
        names = [entry.name for entry in entries]
        if _is_item(names):
            if key_in(folder.name):
                seen.add(folder.name)
            yield folder, names
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            elif entry.is_symlink():
                target = _target(Path(entry.path))
                # Folders of other kinds are not followed: there is no circle to recognise.
                if target.name not in seen and target.is_dir() and _is_item(os.listdir(target)):  # noqa: PTH208
                    pending.append(target)


def clip_of(
    folder: Path,
    names: Collection[str],
    address: Callable[[Path], str],
    tell: Tell,
    *,
    mounted: bool,
) -> PageClip:
    """Return what a page shows of an item.

    Args:
        folder: its directory.
        names: what is in it.
        address: gives the address of a file for the page.
        tell: is told of a file that can't be read; the clip is shown without what it has.
        mounted: whether the folder is in a mount.
    """

    def read(name: str) -> bytes:
        if name not in names:
            return b""
        try:
            with opened(folder / name) as file:
                return read_all(file, _PATIENCE, _MOST)
        except (OSError, InputFailed) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            tell(folder / name, reason or str(error))
            return b""

    unknown = mounted and _SUMMARY in names and _is_unknown(folder, names)
    meta = _SUMMARY if unknown or _META not in names else _META
    raw = read(meta)
    fields = Described()
    if raw:
        try:
            fields = described(raw)
            if unknown:
                fields = fields._replace(text=conversation_details(raw).text or "")
        except BadAnswer as error:
            tell(folder / meta, str(error))
    # A copy may have another text; in a mount it is that of the object, and costs two calls.
    if fields.text is None or (_TEXT in names and not mounted):
        fields = fields._replace(text=read(_TEXT).decode("utf-8", "replace"))
    audio = next((name for name in sorted(names) if is_audio_name(name)), None)
    return PageClip(
        when=_when(folder, fields),
        voices=fields.voices,
        audio=None if audio is None else address(folder / audio),
        text=fields.text or "",
        words=fields.words,
        seconds=fields.seconds,
    )


def _is_unknown(folder: Path, names: Collection[str]) -> bool:
    """Say whether the details of a conversation in a mount were never fetched.

    Reading one of the files would request them; they show the size that stands for an unknown one.
    """
    shown = [folder / name for name in (_META, _TEXT) if name in names]
    try:
        return bool(shown) and all(file.stat().st_size == ESTIMATE for file in shown)
    except FileNotFoundError:
        return False  # deleted meanwhile: reading it tells


def _is_item(names: Collection[str]) -> bool:
    return _META in names or _SUMMARY in names or any(map(is_audio_name, names))


def _target(link: Path) -> Path:
    """Return where a link leads, as a path below the same folders as the link's."""
    return Path(os.path.normpath(link.parent / link.readlink()))


def _when(folder: Path, fields: Described) -> str:
    if found := _STAMP.match(folder.name):
        day, *times = found.groups()
        return f"{day} {':'.join(times)}"
    moment = folder.stat().st_mtime if fields.date is None else fields.date
    return f"{Zone().local(int(moment)):%Y-%m-%d %H:%M:%S}"
