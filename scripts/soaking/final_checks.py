"""What is looked at when all is over: at the server, in the trash, in the cache, of the mounts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from histfs.simulator import Library
from scripts.soaking.model import Known, Model
from scripts.soaking.mounts import CACHE_SIZE, CONNECTIONS, Mount, command

#: Threads of a mount: its pools (lists, probes, deletes: 4 each; downloads; the scan and the page
#: that it asks for ahead; the main thread), and those of libfuse, which keeps 10 idle ones (libfuse
#: 2) or as many as were ever busy at once (libfuse 3): a few for each process that uses the mount,
#: as one that was killed may have left a call behind.
_THREADS = 3 * 4 + CONNECTIONS + 3 + 20
#: Seconds until what was under way at the server has ended: the longest hang, and then some.
_REST = 30.0


def check_server(model: Model, library: Library, deletes: Mapping[str, int]) -> int:
    """See that what is gone was to go, and that each item was deleted with one request.

    Args:
        model: what was done.
        library: what is there.
        deletes: how often the deletion of each item was asked for.

    Returns:
        How many items were deleted on the mounts.
    """
    for item_id, count in deletes.items():
        unlinks = model.items[item_id].unlinks
        if count > unlinks:
            model.reproach(f"{item_id}: {count} DELETEs for {unlinks} tries to remove it")
    for item_id, known in model.items.items():
        gone = item_id not in library
        if gone and known.there:
            model.reproach(f"{item_id} is gone from the server, and nobody has removed it")
        if known.unlinked and not gone:
            model.reproach(f"{item_id} was unlinked without an error, and is still there")
    return len(deleted(model, library))


def deleted(model: Model, library: Library) -> dict[str, Known]:
    """Return the items that were deleted on a mount."""
    items = model.items.items()
    return {
        item_id: known
        for item_id, known in items
        if known.elsewhere is None and item_id not in library
    }


def check_trash(model: Model, library: Library, environment: dict[str, str]) -> int:
    """See that each item that was deleted on a mount is in the trash, and whole.

    Returns:
        How many copies there are.
    """
    listed = _run(command("trash", "list", "--json"), environment)
    copies = [json.loads(line) for line in listed.splitlines()]
    whole = set()
    for copy in copies:
        entry, path = copy["entry"], Path(copy["path"])
        if entry is None:
            model.reproach(f"{path}: its entry can't be read")
            continue
        known = model.items[entry["id"]]
        names = {file.name for file in path.iterdir()}
        if names != {*entry["files"], "entry.json"}:
            model.reproach(f"{path} holds {sorted(names)}")
            continue
        wrong = [
            name
            for name, kept in entry["files"].items()
            if not _is_right(known, path / name, kept["size"], kept["sha256"])
        ]
        if wrong or len(entry["files"]) != 3:
            model.reproach(f"{path}: {wrong} are not what the server had")
            continue
        whole.add(entry["id"])
    for item_id in deleted(model, library).keys() - whole:
        model.reproach(f"{item_id} was deleted on a mount, and is not in the trash")
    return len(copies)


def _is_right(known: Known, file: Path, size: int, sha256: str) -> bool:
    content = file.read_bytes()
    right = known.expected(file.name.partition(".")[0])
    return content == right and size == len(right) and sha256 == hashlib.sha256(right).hexdigest()


def check_copy(model: Model, library: Library, mount: Mount, target: Path) -> None:
    """See that rsync copies what the server holds, all of it and nothing else."""
    target.mkdir()
    _run(["rsync", "-a", f"{mount.path}/", f"{target}/"], {})
    items = {path.name.split("_", 2)[-1]: path for path in target.glob("by-date/*/*/*/*")}
    there = set(library.ids())
    for item_id in there ^ items.keys():
        where = "at the server" if item_id in there else "in the copy"
        model.reproach(f"{item_id} is only {where}")
    for item_id in there & items.keys():
        files = list(items[item_id].iterdir())
        wrong = [
            file.name
            for file in files
            if file.read_bytes() != model.items[item_id].expected(file.name.partition(".")[0])
        ]
        if wrong or len(files) != 3:
            model.reproach(f"{items[item_id]}: {wrong} are wrong of {len(files)} files")
    for view in ("by-voice", "by-source"):
        links = Counter(path.resolve().name for path in target.glob(f"{view}/*/*"))
        shown = {
            path.name: model.items[item_id].voices if view == "by-voice" else 1
            for item_id, path in items.items()
            if item_id in there
        }
        if links != shown:
            model.reproach(f"the links in {view} don't lead to all items")


def check_cache(model: Model, place: Path, url: str, environment: dict[str, str]) -> int:
    """See that the cache is sound, below its cap, and without anything unfinished.

    Returns:
        How many bytes of audio it holds.
    """
    verified = command("cache", "verify", "--json", "--base-url", url)
    told = json.loads(_run(verified, environment))
    if told["damaged"] or told["unreadable"] or told["foreign"]:
        model.reproach(f"histfs cache verify: {told}")
    [home] = (place / "cache/histfs").iterdir()
    used = sum(path.stat().st_size for path in home.glob("audio/*/*"))
    if used > CACHE_SIZE:
        model.reproach(f"{used} bytes are in the cache, with a cap of {CACHE_SIZE}")
    for part in home.glob("incoming/*"):
        model.reproach(f"{part} is left over")
    return used


def check_rest(model: Model, mount: Mount, before: Counter[str]) -> str:
    """See that a mount that nobody uses any more has let go of everything.

    Args:
        model: is told.
        mount: which one.
        before: what it had open when it was new.

    Returns:
        What it has now.
    """
    # Each source keeps its idle connections to the server, as many as downloads may run at once.
    sockets = CONNECTIONS * len(mount.sources())
    wait_until(lambda: _is_at_rest(mount.descriptors(), sockets), _REST)
    now, threads = mount.descriptors(), mount.threads()
    for kind, count in _held(now).items():
        model.reproach(
            f"{mount.path} has {count} {kind} open, though nobody reads: {mount.open_files()}"
        )
    if now["sockets"] > sockets:
        states = mount.connections()
        model.reproach(f"{mount.path} has {now['sockets']} sockets open, not {sockets}: {states}")
    # Connections to the catalog are kept for the next use: as many (three files each) as threads
    # have ever used it at once.
    for kind, more in {"others": 0, "catalog": 3 * _THREADS}.items():
        if now[kind] > before[kind] + more:
            model.reproach(f"{mount.path} has {now[kind]} {kind} open, at first {before[kind]}")
    if threads > _THREADS:
        model.reproach(f"{mount.path} has {threads} threads, more than {_THREADS}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(now.items()))
    return f"{threads} threads; open: {kinds}"


def _is_at_rest(found: Counter[str], sockets: int) -> bool:
    return not _held(found) and found["sockets"] <= sockets


def _held(found: Counter[str]) -> dict[str, int]:
    return {kind: found[kind] for kind in ("clips", "parts") if found[kind]}


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Wait for something to become true, and say whether it has."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
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
