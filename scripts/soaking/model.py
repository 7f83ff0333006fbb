"""What the server holds, and whether what was seen on the mounts agrees with it.

Threads: any number at once; `_lock` guards all state. What is about to be removed is noted before
it is tried, so that nobody is reproached for what happened a moment before they looked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from histfs.simulator import DEFAULT_NEWEST, ClipBytes, HistoryStore

#: What a call may fail with. ENOENT: the item went while somebody looked, or its audio is gone.
_EXPECTED = {
    errno.EIO, errno.EACCES, errno.EAGAIN, errno.ENOENT, errno.ETIMEDOUT, errno.ENOTEMPTY,
}  # fmt: skip
#: What it may fail with, too, while its mount was killed.
_DEAD = {errno.ENOTCONN, errno.ECONNABORTED}
_FILES = {"meta.json", "text.txt"}
#: How many items get half of all that is done.
_FEW = 6

Answer = Mapping[str, Any]


@dataclass
class Known:
    """What is known of an item; moments are monotonic.

    Attributes:
        fields: the API's object.
        clip: its audio.
        born: when it came to the server; None for those that were there before all began.
        seen: when a listing that holds it had ended for the first time.
        tried: when somebody first set about to remove it on a mount.
        unlinks: how often its audio was to be unlinked.
        unlinked: on which mount that was done, and when.
        elsewhere: when it was removed at the server, as on the web page.
        paths: its directory below the mountpoint, by view.
    """

    fields: Mapping[str, Any]
    clip: ClipBytes
    born: float | None
    seen: float | None = None
    tried: float | None = None
    unlinks: int = 0
    unlinked: tuple[int, float] | None = None
    elsewhere: float | None = None
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def there(self) -> bool:
        """Whether it is there for certain."""
        return self.tried is None and self.elsewhere is None

    @property
    def day(self) -> str:
        """The directory that is its home."""
        return datetime.fromtimestamp(self.fields["date_unix"], timezone.utc).strftime(
            "by-date/%Y/%m/%d"
        )

    @property
    def voices(self) -> int:
        """The number of its voices: those of its lines, or its own, if it has one."""
        return max(len({line["voice_id"] for line in self.fields.get("dialogue") or ()}), 1)

    def expected(self, file: str) -> bytes:
        """Return what a file must hold."""
        if file == "audio":
            return bytes(self.clip)
        if file == "meta":
            return f"{json.dumps(self.fields, ensure_ascii=False, indent=2)}\n".encode()
        lines = self.fields.get("dialogue")
        text = self.fields.get("text")
        if lines:
            text = "\n".join(
                f"{line['voice_name']}: {line['text']}" if self.voices > 1 else line["text"]
                for line in lines
            )
        return b"" if text is None else f"{text}\n".encode()


class Model:
    """Knows all items, and judges what was seen of them.

    Args:
        library: the server's items.
        calm_for: tells for how many seconds nothing has gone wrong at the server.
        fresh: seconds after which, without faults, a listing shows what is new.
        patience: seconds that a call may take.
        dice: chooses among items.
    """

    def __init__(
        self,
        library: HistoryStore,
        calm_for: Callable[[], float],
        fresh: float,
        patience: float,
        dice: random.Random,
    ) -> None:
        self._library = library
        self._calm_for = calm_for
        self._fresh = fresh
        self._patience = patience
        self._dice = dice
        self._lock = threading.Lock()
        self._newest = DEFAULT_NEWEST
        self.items = {item_id: self._known(item_id, None) for item_id in library.ids()}
        self.deeds: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.bytes_read = 0
        self.slowest: tuple[float, str] = (0.0, "")
        self.wrong: list[str] = []

    def _known(self, item_id: str, born: float | None) -> Known:
        return Known(self._library.item(item_id), self._library.clip(item_id), born)

    def reproach(self, what: str) -> None:
        """Note that something is wrong."""
        self.wrong.append(what)

    # What changes at the server

    def add(self) -> None:
        """Make some new items at the server, perhaps days after the others."""
        with self._lock:
            self._newest += self._dice.choice((1, 60, 90_000))
            born = time.monotonic()
            for item_id in self._library.add(self._dice.randint(1, 3), time=self._newest):
                self.items[item_id] = self._known(item_id, born)

    def remove_elsewhere(self) -> None:
        """Remove an item at the server, as on the web page."""
        with self._lock:
            item_id = self._any()
            if item_id is not None:
                self.items[item_id].elsewhere = time.monotonic()
                self._library.remove(item_id)

    # What is to be done on a mount

    def choose(self) -> str | None:
        """Choose an item to be read; now and then one that may be gone."""
        with self._lock:
            if self._dice.random() < 0.1:
                return self._dice.choice(list(self.items))
            return self._any()

    def choose_to_remove(self) -> str | None:
        """Choose an item to be removed, and note that somebody is about to; half must stay."""
        with self._lock:
            tried = [key for key, known in self.items.items() if known.tried is not None]
            if tried and self._dice.random() < 0.2:
                chosen: str | None = self._dice.choice(tried)
            elif len(tried) > len(self.items) // 2:
                return None
            else:
                chosen = self._any()
            if chosen is not None:
                known = self.items[chosen]
                known.tried = known.tried or time.monotonic()
                known.unlinks += 1
            return chosen

    def _any(self) -> str | None:
        """Choose an item; half of the time one of a few, so that the processes meet."""
        there = [key for key, known in self.items.items() if known.there and known.paths]
        few = there[:_FEW] if self._dice.random() < 0.5 else there
        return self._dice.choice(few) if few else None

    # What was seen

    def judge(self, mount: int, asked: Answer, item_id: str | None, answer: Answer | None,
              down: bool) -> None:  # fmt: skip
        """Judge what came of something that was done on a mount.

        Args:
            mount: its number.
            asked: what was to be done.
            item_id: to which item.
            answer: what came of it; None when the process was killed meanwhile.
            down: whether the mount was down for a part of that time.
        """
        with self._lock:
            deed = asked["do"]
            self.deeds[deed if answer else f"{deed}, killed"] += 1
            if answer is None:
                return
            if answer["slowest"][0] > self.slowest[0]:
                self.slowest = tuple(answer["slowest"])
            if answer["slowest"][0] > self._patience:
                self.reproach(f"{answer['slowest'][1]} took {answer['slowest'][0]:.1f} s: {asked}")
            if "errno" in answer:
                self._judge_error(answer["errno"], answer["call"], asked, down)
            if deed == "walk" and "listed" in answer:
                self._judge_walk(mount, asked, answer, down)
            elif deed == "read" and "pieces" in answer:
                self._judge_read(item_id or "", asked, answer)
            elif deed == "remove" and item_id and answer.get("unlinked"):
                known = self.items[item_id]
                known.unlinked = known.unlinked or (mount, answer["ended"])

    def _judge_error(self, number: int, call: str, asked: Answer, down: bool) -> None:
        name = errno.errorcode.get(number, str(number))
        self.errors[f"{call} {name}"] += 1
        if number not in _EXPECTED and not (down and number in _DEAD):
            self.reproach(f"{call} failed with {name}: {asked}")

    def _judge_read(self, item_id: str, asked: Answer, answer: Answer) -> None:
        content = self.items[item_id].expected(asked["file"])
        if answer["size"] != len(content):
            self.reproach(f"{asked['item']}: {asked['file']} has {answer['size']} bytes, "
                          f"not {len(content)}")  # fmt: skip
        for (start, length), (offset, size, digest) in zip(
            asked["ranges"], answer["pieces"], strict=True
        ):
            self.bytes_read += size
            right = content[offset : offset + int(length * len(content))]
            if size != len(right) or hashlib.sha256(right).hexdigest() != digest:
                self.reproach(
                    f"{asked['item']}: {asked['file']} from {start} on: {size} bytes at {offset}"
                    f" are not the item's own ({len(right)})"
                )

    def _judge_walk(self, mount: int, asked: Answer, answer: Answer, down: bool) -> None:
        listed: dict[str, list[str] | int] = answer["listed"]
        for path, names in listed.items():
            if isinstance(names, int):
                self._judge_error(names, "listing", {"listing": f"{asked['root']}/{path}"}, down)
        began, ended = answer["began"], answer["ended"]
        view = asked["view"]
        depth = 3 if view == "by-date" else 1
        found: dict[str, list[str]] = {}
        for path, names in listed.items():
            if path.count("/") == depth and not isinstance(names, int):
                for name in names:
                    found.setdefault(name.split("_", 2)[-1], []).append(f"{path}/{name}")
        for item_id, paths in found.items():
            self._judge_shown(mount, item_id, paths, began)
        calm = self._calm_for() - (time.monotonic() - began)
        for item_id, known in self.items.items():
            if item_id not in found and known.there and self._due(known, began, calm):
                self._judge_missing(item_id, known, view, listed, down)
        for item_id, paths in found.items():
            known = self.items.get(item_id)
            if known is None:
                continue
            known.seen = min(known.seen or ended, ended)
            known.paths[view] = paths[0]
            self._judge_files(known, paths[0], listed.get(paths[0]))

    def _judge_shown(self, mount: int, item_id: str, paths: list[str], began: float) -> None:
        known = self.items.get(item_id)
        if known is None:
            self.reproach(f"{paths[0]} was never there")
            return
        if len(paths) > (known.voices if paths[0].startswith("by-voice") else 1):
            self.reproach(f"{item_id} is shown twice: {paths}")
        if paths[0].startswith("by-date") and not paths[0].startswith(known.day):
            self.reproach(f"{paths[0]} is not in {known.day}")
        if known.unlinked is not None:
            where, when = known.unlinked
            # The other mount learns of it by the catalog.
            if began > when + (0 if where == mount else 1):
                self.reproach(f"{paths[0]} is shown {began - when:.1f} s after its deletion, "
                              f"on mount {mount} (deleted on {where})")  # fmt: skip

    def _due(self, known: Known, began: float, calm: float) -> bool:
        """Say whether a listing that began at a moment must show an item."""
        if known.born is None:
            return True
        # What one mount knows the other knows: they share the catalog.
        if known.seen is not None and known.seen + 1 < began:
            return True
        return known.born + self._fresh < began and calm > self._fresh

    def _judge_missing(
        self,
        item_id: str,
        known: Known,
        view: str,
        listed: Mapping[str, list[str] | int],
        down: bool,
    ) -> None:
        """Judge why an item isn't listed: all directories on the way must be listed, or fail."""
        if view != "by-date":
            if not any(isinstance(names, int) for names in listed.values()):
                self.reproach(f"{item_id} is missing in {view}, which was listed completely")
            return
        path = view
        for part in [*known.day.split("/")[1:], None]:
            names = listed.get(path)
            if isinstance(names, int):
                if names == errno.ENOENT and not down:
                    self.reproach(f"{path} is said not to be there, and holds {item_id}")
                return
            if names is None:
                self.reproach(f"{path} was not listed, though its parent was")
                return
            if part is None or part not in names:
                self.reproach(f"{item_id} is missing in {path}, which was listed: {part}")
                return
            path = f"{path}/{part}"

    def _judge_files(self, known: Known, path: str, names: list[str] | int | None) -> None:
        if names is None or isinstance(names, int) or known.tried is not None:
            return
        audio = {name for name in names if name.startswith("audio.")}
        if set(names) != _FILES | audio or len(audio) != 1:
            self.reproach(f"{path} holds {sorted(names)}")
