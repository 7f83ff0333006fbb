"""What is checked when no fault is injected any more: server, trash, cache, mounts, resources."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from histfs.simulator import HistoryStore
from scripts.soaking.faulty_view import FaultyView
from scripts.soaking.known_item import KnownItem
from scripts.soaking.model import Model
from scripts.soaking.mounts import CACHE_SIZE, CONNECTIONS, Mount, command

#: Threads of a mount: its pools (lists, probes, deletes: 4 each; downloads; the scan, its prefetch
#: and the main thread); those of libfuse, which keeps 10 idle ones (libfuse 2) or as many as were
#: ever busy at once (libfuse 3): a few for each process that uses the mount, as a killed one may
#: have left a call behind; and at most 32 that run the view plugin, of either source.
_THREADS = 3 * 4 + CONNECTIONS + 3 + 20 + 2 * 32
#: Seconds until the requests that were under way have ended: the longest hang, and some more.
_SETTLING = 30.0
#: The views that show links, and how many an item has in each.
_LINKS: dict[str, Callable[[KnownItem], int]] = {
    "by-voice": lambda known: known.voices,
    "by-source": lambda known: 1,
    FaultyView.name: lambda known: 1,
}


def check_server(model: Model, library: HistoryStore, deletes: Mapping[str, int]) -> int:
    """Check that only what was to be removed is gone, with one DELETE for each attempt.

    Args:
        model: what was done.
        library: what is at the server.
        deletes: the number of DELETE requests by the id of the item.

    Returns:
        How many items were deleted on the mounts.
    """
    for item_id, count in deletes.items():
        attempts = model.items[item_id].removal_attempts
        if count > attempts:
            model.record_violation(f"{item_id}: {count} DELETEs for {attempts} attempts to remove")
    for item_id, known in model.items.items():
        gone = item_id not in library
        if gone and known.untouched:
            model.record_violation(f"{item_id} is gone from the server, and was not to be removed")
        if known.unlinked and not gone:
            model.record_violation(f"{item_id} was unlinked without an error, and is still there")
    return len(_deleted(model, library))


def _deleted(model: Model, library: HistoryStore) -> dict[str, KnownItem]:
    """Return the items that were deleted on a mount, by id."""
    return {
        item_id: known
        for item_id, known in model.items.items()
        if known.removed_remotely is None and item_id not in library
    }


def check_trash(model: Model, library: HistoryStore, environment: dict[str, str]) -> int:
    """Check that the trash has a whole copy of each item that was deleted on a mount.

    Returns:
        How many copies there are.
    """
    listed = _run(command("trash", "list", "--json"), environment)
    copies = [json.loads(line) for line in listed.splitlines()]
    whole = set()
    for copy in copies:
        entry, path = copy["entry"], Path(copy["path"])
        if entry is None:
            model.record_violation(f"{path}: its entry can't be read")
            continue
        if entry["deleted"] is not None and entry["id"] in library:
            model.record_violation(f"{path} is said to be deleted, and is at the server")
        names = {file.name for file in path.iterdir()}
        if names != {*entry["files"], "entry.json"}:
            model.record_violation(f"{path} holds {sorted(names)}")
            continue
        known = model.items[entry["id"]]
        wrong = [
            name
            for name, kept in entry["files"].items()
            if not _is_right(known, path / name, kept["size"], kept["sha256"])
        ]
        if wrong or len(entry["files"]) != known.files:
            model.record_violation(f"{path}: {wrong} are not what the server had")
            continue
        whole.add(entry["id"])
    for item_id in _deleted(model, library).keys() - whole:
        model.record_violation(f"{item_id} was deleted on a mount, and is not in the trash")
    return len(copies)


def _stem(file: Path) -> str:
    return "captions" if file.name == "audio.srt" else file.name.partition(".")[0]


def _is_right(known: KnownItem, file: Path, size: int, sha256: str) -> bool:
    content = file.read_bytes()
    expected = known.expected(_stem(file))
    return (
        content == expected
        and size == len(expected)
        and sha256 == hashlib.sha256(expected).hexdigest()
    )


def check_listing(model: Model, library: HistoryStore, mount: Mount, seconds: float) -> None:
    """Check that a mount that went through the faults lists what the server has.

    Args:
        model: records violations.
        library: what is at the server.
        mount: any.
        seconds: within which the listing must be right.
    """
    expected = set(library.ids())

    def listed() -> set[str] | None:
        try:
            return _listed(mount.path / "by-date")
        except OSError:
            return None

    if not wait_until(lambda: listed() == expected, seconds):
        found = listed()
        if found is None:
            model.record_violation(f"{mount.path} can't be listed, though the server answers")
        else:
            lacking, extra = sorted(expected - found), sorted(found - expected)
            model.record_violation(f"{mount.path} lacks {lacking} and shows {extra}")


def _listed(directory: Path, depth: int = 3) -> set[str]:
    """Return the ids of the items so many levels below a directory.

    Raises:
        OSError: a directory can't be listed.
    """
    names = os.listdir(directory)
    if depth == 0:
        return {name.split("_", 2)[-1] for name in names}
    return set().union(*(_listed(directory / name, depth - 1) for name in names))


def check_copy(model: Model, library: HistoryStore, mount: Mount, target: Path) -> None:
    """Check that rsync copies what the server has, all of it and nothing else.

    Args:
        model: what the files must hold.
        library: what is at the server.
        mount: what to copy.
        target: a directory to make.
    """
    target.mkdir()
    _run(["rsync", "-a", f"{mount.path}/", f"{target}/"], {})
    items = {path.name.split("_", 2)[-1]: path for path in target.glob("by-date/*/*/*/*")}
    present = set(library.ids())
    for item_id in present ^ items.keys():
        where = "at the server" if item_id in present else "in the copy"
        model.record_violation(f"{item_id} is only {where}")
    for item_id in present & items.keys():
        files = list(items[item_id].iterdir())
        wrong = [
            file.name
            for file in files
            if file.read_bytes() != model.items[item_id].expected(_stem(file))
        ]
        if wrong or len(files) != model.items[item_id].files:
            model.record_violation(f"{items[item_id]}: {wrong} are wrong of {len(files)} files")
    for view, count in _LINKS.items():
        links = Counter(path.resolve().name for path in target.glob(f"{view}/*/*"))
        expected = {
            path.name: count(model.items[item_id])
            for item_id, path in items.items()
            if item_id in present
        }
        if links != expected:
            model.record_violation(f"the links in {view} don't lead to all items")


def check_cache(model: Model, directory: Path, url: str, environment: dict[str, str]) -> int:
    """Check that the cache is sound, below its cap, and without anything unfinished.

    Args:
        model: records violations.
        directory: that of the run.
        url: the server.
        environment: of the command that verifies it.

    Returns:
        The size of the audio that it holds, in bytes.
    """
    verified = command("cache", "verify", "--json", "--base-url", url)
    report = json.loads(_run(verified, environment))
    if report["damaged"] or report["unreadable"] or report["foreign"]:
        model.record_violation(f"histfs cache verify: {report}")
    [home] = (directory / "cache/histfs").iterdir()
    used = sum(path.stat().st_size for path in home.glob("audio/*/*"))
    if used > CACHE_SIZE:
        model.record_violation(f"{used} bytes are in the cache, with a cap of {CACHE_SIZE}")
    for part in home.glob("incoming/*"):
        model.record_violation(f"{part} is left over")
    return used


def check_resources(model: Model, mount: Mount, before: Counter[str]) -> str:
    """Check that a mount that is no longer used has released its resources.

    Args:
        model: records violations.
        mount: any.
        before: how many files of each kind it had open before it was used.

    Returns:
        What it has now, in words.
    """
    # Each source keeps its idle connections to the server, as many as downloads may run at once.
    sockets = CONNECTIONS * len(mount.sources())
    wait_until(lambda: _is_idle(mount.descriptors(), sockets, before["others"]), _SETTLING)
    now, threads = mount.descriptors(), mount.threads()
    for kind, count in _held(now).items():
        model.record_violation(
            f"{mount.path} has {count} {kind} open, though nothing is read: {mount.open_files()}"
        )
    if now["sockets"] > sockets:
        states = mount.connections()
        model.record_violation(
            f"{mount.path} has {now['sockets']} sockets open, not {sockets}: {states}"
        )
    # Connections to the catalog are kept for the next use: as many (three files each) as threads
    # have ever used it at once.
    for kind, more in {"others": 0, "catalog": 3 * _THREADS}.items():
        if now[kind] > before[kind] + more:
            model.record_violation(
                f"{mount.path} has {now[kind]} {kind} open, at first {before[kind]}:"
                f" {mount.open_files()}"
            )
    if threads > _THREADS:
        model.record_violation(f"{mount.path} has {threads} threads, more than {_THREADS}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(now.items()))
    return f"{threads} threads; open: {kinds}"


def _is_idle(found: Counter[str], sockets: int, others: int) -> bool:
    return not _held(found) and found["sockets"] <= sockets and found["others"] <= others


def _held(found: Counter[str]) -> dict[str, int]:
    return {kind: found[kind] for kind in ("clips", "parts") if found[kind]}


def wait_until(is_true: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, and return whether it has become true.

    Args:
        is_true: the condition.
        seconds: for how long to wait.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _run(line: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        line, env=environment or None, check=False, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, line))} exits with {done.returncode}: {done.stderr}")
    return done.stdout
