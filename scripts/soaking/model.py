"""What the server holds, and whether what was observed on the mounts agrees with it.

Threads: any number at once; `_lock` guards all state. A removal is noted before it is tried, so
that an observation made meanwhile is not taken for a violation.
"""

from __future__ import annotations

import errno
import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from histfs.core.name_forms import is_audio_name
from histfs.simulator import DEFAULT_NEWEST, HistoryStore
from scripts.soaking.faulty_view import FaultyView
from scripts.soaking.known_item import KnownItem

#: What a call may fail with. ENOENT: the item was removed meanwhile, or its audio is missing.
_EXPECTED_ERRORS = {
    errno.EIO, errno.EACCES, errno.EAGAIN, errno.ENOENT, errno.ETIMEDOUT, errno.ENOTEMPTY,
}  # fmt: skip
#: What it may fail with as well while its mount is dead.
DEAD_MOUNT_ERRORS = frozenset({errno.ENOTCONN, errno.ECONNABORTED})
#: What a call must not fail with when no fault was in force for some time, except in the view that
#: fails: a fault of that one concerns no other. Not EAGAIN: a server may ask for a long pause.
_NEEDS_FAULT = {errno.EIO, errno.EACCES, errno.ETIMEDOUT}
_FILES = {"meta.json", "text.txt"}
#: How many items get half of all operations.
_HOT_ITEMS = 6

Request = Mapping[str, Any]
Outcome = Mapping[str, Any]


class Model:
    """Knows all items, and checks what was observed of them.

    Args:
        library: the server's items.
        seconds_since_fault: returns for how long no fault was in force at the server.
        freshness: seconds after which, without faults, a listing shows what is new.
        call_timeout: seconds that a call may take.
        rng: chooses among items.
    """

    def __init__(
        self,
        library: HistoryStore,
        seconds_since_fault: Callable[[], float],
        freshness: float,
        call_timeout: float,
        rng: random.Random,
    ) -> None:
        self._library = library
        self._seconds_since_fault = seconds_since_fault
        self._freshness = freshness
        self.call_timeout = call_timeout
        self._rng = rng
        self._lock = threading.Lock()
        self._newest = DEFAULT_NEWEST
        self.items = {item_id: self._known(item_id, None) for item_id in library.ids()}
        self.operations: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.bytes_read = 0
        self.slowest: tuple[float, str] = (0.0, "")
        self.violations: list[str] = []

    def _known(self, item_id: str, created: float | None) -> KnownItem:
        return KnownItem(self._library.item(item_id), self._library.clip(item_id), created)

    def record_violation(self, message: str) -> None:
        """Record that something is wrong."""
        self.violations.append(message)

    # Changes at the server

    def add_items(self) -> None:
        """Add some items at the server, perhaps dated days after the others."""
        with self._lock:
            self._newest += self._rng.choice((1, 60, 90_000))
            created = time.monotonic()
            for item_id in self._library.add(self._rng.randint(1, 3), time=self._newest):
                self.items[item_id] = self._known(item_id, created)

    def remove_remotely(self) -> None:
        """Remove an item at the server, as another client does."""
        with self._lock:
            item_id = self._any()
            if item_id is not None:
                self.items[item_id].removed_remotely = time.monotonic()
                self._library.remove(item_id)

    # Choice of items

    def choose_to_read(self) -> str | None:
        """Choose an item to read; now and then one that may be gone."""
        with self._lock:
            if self._rng.random() < 0.1:
                return self._rng.choice(list(self.items))
            return self._any()

    def choose_to_remove(self) -> str | None:
        """Choose an item to remove, and note the attempt; half of the items are never chosen."""
        with self._lock:
            tried = [key for key, known in self.items.items() if known.removal_began is not None]
            if tried and self._rng.random() < 0.2:
                chosen: str | None = self._rng.choice(tried)
            elif len(tried) > len(self.items) // 2:
                return None
            else:
                chosen = self._any()
            if chosen is not None:
                known = self.items[chosen]
                known.removal_began = known.removal_began or time.monotonic()
                known.removal_attempts += 1
            return chosen

    def _any(self) -> str | None:
        """Choose an item; half of the time a hot one, so that processes use the same ones."""
        present = [key for key, known in self.items.items() if known.untouched and known.paths]
        candidates = present[:_HOT_ITEMS] if self._rng.random() < 0.5 else present
        return self._rng.choice(candidates) if candidates else None

    # Observations

    def check(
        self,
        mount: int,
        request: Request,
        item_id: str | None,
        outcome: Outcome | None,
        down: bool,
    ) -> None:
        """Check the outcome of an operation on a mount.

        Args:
            mount: the number of the mount.
            request: the operation; see `scripts.soaking.worker_process`.
            item_id: the item that it was for; None for none.
            outcome: what came of it; None when the process was killed meanwhile.
            down: whether the mount was dead for a part of that time.
        """
        with self._lock:
            operation = request["operation"]
            self.operations[operation if outcome else f"{operation}, killed"] += 1
            if outcome is None:
                return
            duration, call = outcome["slowest"]
            self.slowest = max(self.slowest, (duration, call))
            if duration > self.call_timeout:
                self.record_violation(f"{call} took {duration:.1f} s: {request}")
            quiet = self._seconds_since_fault() - (time.monotonic() - outcome["began"])
            if "errno" in outcome and not self._is_stale(item_id, outcome["errno"]):
                self._check_error(outcome["errno"], outcome["call"], request, down, quiet)
            if operation == "walk" and "listed" in outcome:
                self._check_walk(mount, request, outcome, down, quiet)
            elif operation == "read" and "pieces" in outcome:
                self._check_read(item_id or "", request, outcome)
            elif operation == "remove" and item_id and outcome.get("unlinked"):
                known = self.items[item_id]
                known.unlinked = known.unlinked or (mount, outcome["ended"])

    def _is_stale(self, item_id: str | None, number: int) -> bool:
        """Say whether an open failed because the item was being removed.

        An open that waits for an unlink of the same file is answered with ESTALE by libfuse 3. The
        kernel opens again then, but only once: not where histfs has just answered the first open
        with ESTALE, to have the kernel ask for the size.
        """
        return (
            number == errno.ESTALE
            and item_id is not None
            and self.items[item_id].removal_began is not None
        )

    def _check_error(
        self, number: int, call: str, request: Request, down: bool, quiet: float
    ) -> None:
        """Check whether a call may fail so.

        Args:
            number: the errno.
            call: the name of the call.
            request: what it was made for.
            down: whether the mount was dead for a part of that time.
            quiet: seconds before that in which no fault was in force.
        """
        name = errno.errorcode.get(number, str(number))
        self.errors[f"{call} {name}"] += 1
        if number not in _EXPECTED_ERRORS and not (down and number in DEAD_MOUNT_ERRORS):
            self.record_violation(f"{call} failed with {name}: {request}")
        elif (
            number in _NEEDS_FAULT
            and quiet > self._freshness
            and f"/{FaultyView.name}" not in str(request)
            and request.get("view") != FaultyView.name
        ):
            self.record_violation(
                f"{call} failed with {name} after {quiet:.0f} s without a fault: {request}"
            )

    def _check_read(self, item_id: str, request: Request, outcome: Outcome) -> None:
        content = self.items[item_id].expected(request["file"])
        file = f"{request['item']}: {request['file']}"
        if outcome["size"] != len(content):
            self.record_violation(f"{file} has {outcome['size']} bytes, not {len(content)}")
        for (start, length), (offset, size, digest) in zip(
            request["ranges"], outcome["pieces"], strict=True
        ):
            self.bytes_read += size
            expected = content[offset : offset + int(length * len(content))]
            if size != len(expected) or hashlib.sha256(expected).hexdigest() != digest:
                self.record_violation(
                    f"{file} from {start} on: {size} bytes at {offset} are not the item's own"
                    f" ({len(expected)})"
                )

    def _check_walk(
        self, mount: int, request: Request, outcome: Outcome, down: bool, quiet: float
    ) -> None:
        listed: dict[str, list[str] | int] = outcome["listed"]
        for path, names in listed.items():
            if isinstance(names, int):
                failed = {"listing": f"{request['root']}/{path}"}
                self._check_error(names, "listing", failed, down, quiet)
        began, ended = outcome["began"], outcome["ended"]
        view = request["view"]
        found = _items_in(view, listed)
        for item_id, paths in found.items():
            self._check_shown(mount, item_id, paths, began)
        for item_id, known in self.items.items():
            if item_id not in found and known.untouched and self._is_due(known, began, quiet):
                self._check_missing(item_id, known, view, listed, down)
        for item_id, paths in found.items():
            shown = self.items.get(item_id)
            if shown is None:
                continue
            shown.first_listed = min(shown.first_listed or ended, ended)
            shown.paths[view] = paths[0]
            self._check_files(shown, paths[0], listed.get(paths[0]))

    def _check_shown(self, mount: int, item_id: str, paths: list[str], began: float) -> None:
        known = self.items.get(item_id)
        if known is None:
            self.record_violation(f"{paths[0]} was never at the server")
            return
        if len(paths) > (known.voices if paths[0].startswith("by-voice") else 1):
            self.record_violation(f"{item_id} is shown twice: {paths}")
        if paths[0].startswith("by-date") and not paths[0].startswith(known.day):
            self.record_violation(f"{paths[0]} is not in {known.day}")
        if known.unlinked is not None:
            where, when = known.unlinked
            # The other mount learns of it from the catalog.
            if began > when + (0 if where == mount else 1):
                self.record_violation(
                    f"{paths[0]} is shown on mount {mount} {began - when:.1f} s after its deletion"
                    f" on mount {where}"
                )

    def _is_due(self, known: KnownItem, began: float, quiet: float) -> bool:
        """Say whether a listing must show an item that nothing has tried to remove.

        Args:
            known: the item.
            began: when the listing began, monotonic.
            quiet: seconds before that in which no fault was in force.
        """
        if known.created is None:
            return True
        # What one mount knows the other one knows: they share the catalog.
        if known.first_listed is not None and known.first_listed + 1 < began:
            return True
        return known.created + self._freshness < began and quiet > self._freshness

    def _check_missing(
        self,
        item_id: str,
        known: KnownItem,
        view: str,
        listed: Mapping[str, list[str] | int],
        down: bool,
    ) -> None:
        """Check why an item isn't listed: a directory on its path must have failed."""
        if view != "by-date":
            if not any(isinstance(names, int) for names in listed.values()):
                self.record_violation(f"{item_id} is missing in {view}, listed completely")
            return
        path = view
        for part in [*known.day.split("/")[1:], None]:
            names = listed.get(path)
            if isinstance(names, int):
                if names == errno.ENOENT and not down:
                    self.record_violation(f"{path} fails with ENOENT, and holds {item_id}")
                return
            if names is None:
                self.record_violation(f"{path} was not listed, though its parent was")
                return
            if part is None or part not in names:
                self.record_violation(f"{item_id} is missing in {path}, which was listed: {part}")
                return
            path = f"{path}/{part}"

    def _check_files(self, known: KnownItem, path: str, names: list[str] | int | None) -> None:
        if names is None or isinstance(names, int) or known.removal_began is not None:
            return
        audio = {name for name in names if is_audio_name(name)}
        if set(names) - {"audio.srt"} != _FILES | audio or len(audio) != 1:
            self.record_violation(f"{path} holds {sorted(names)}")


def _items_in(view: str, listed: Mapping[str, list[str] | int]) -> dict[str, list[str]]:
    """Return the paths of the items in the listings of a view, by the item's id."""
    depth = 3 if view == "by-date" else 1
    found: dict[str, list[str]] = {}
    for path, names in listed.items():
        if path.count("/") == depth and not isinstance(names, int):
            for name in names:
                found.setdefault(name.split("_", 2)[-1], []).append(f"{path}/{name}")
    return found
