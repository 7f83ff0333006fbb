"""`histfs export --shards`: tars that WebDataset reads, whole or not there, the same every time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile

import pytest

from histfs.exporting.destination import PART
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import command

AUDIO = "GET /v1/history/{id}/audio"


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=40, days=50)) as running:
        yield running


@pytest.fixture
def arguments(simulator, tmp_path):
    cache = tmp_path / "cache"
    return [
        "export", "--base-url", simulator.base_url, "--cache-dir", cache, "--json",
        "--shards", "200K",
    ]  # fmt: skip


@pytest.fixture
def export(run, simulator, arguments, tmp_path):
    """Run the command; `export.folder` is where it writes."""

    def export(*more, to=None):
        return run(*arguments, *more, to or export.folder, key=simulator.api_key)

    export.folder = tmp_path / "shards-of"
    return export


def summary(done):
    assert done.status == 0, done
    return json.loads(done.out)


def shards(folder):
    """The content of each shard, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shards/*"))}


def samples(found):
    """The members of each item, by key and extension; each key once."""
    items = {}
    for content in found.values():
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                assert items.setdefault(key, {}).setdefault(extension, None) is None
                items[key][extension] = tar.extractfile(member).read()
    return items


def clips(simulator):
    return {item: bytes(simulator.library.clip(item)) for item in simulator.library.ids()}


def audio_in(found):
    return {
        key: next(
            content for extension, content in item.items() if extension not in ("txt", "json")
        )
        for key, item in samples(found).items()
    }


def test_each_clip_is_in_one_shard_with_its_text_and_metadata(export, simulator, tmp_path):
    first = summary(export())
    found = shards(export.folder)
    assert first["written"] == len(found) > 3
    assert audio_in(found) == clips(simulator)
    for key, item in samples(found).items():
        meta = json.loads(item["json"])
        assert meta["history_item_id"] == key
        if meta["text"] is not None:  # else a dialogue
            assert item["txt"].decode() == f"{meta['text']}\n"
        assert item["txt"].endswith(b"\n")
    assert {name[:8] for name in found} == {"2025-12-", "2026-01-"}
    # From nothing, on another machine: the same bytes.
    export.folder = tmp_path / "other"
    (tmp_path / "cache").rename(tmp_path / "lost")
    summary(export())
    assert shards(export.folder) == found


def test_a_second_run_moves_nothing_and_what_is_new_gets_a_shard_of_its_own(export, simulator):
    summary(export())
    found = shards(export.folder)
    simulator.counts.reset()
    again = summary(export())
    assert (again["written"], again["bytes"], simulator.counts[AUDIO]) == (0, 0, 0)
    simulator.library.add(ids=["newborn"], fields={"text": "I am new."})
    assert summary(export("--rescan", "0.001"))["written"] == 1
    later = shards(export.folder)
    assert found.items() < later.items()
    assert audio_in(later) == clips(simulator)


def test_after_a_kill_there_are_whole_shards_alone_and_the_next_run_goes_on(
    export, arguments, simulator
):
    simulator.latency = 0.1
    process = subprocess.Popen(
        command(*arguments, "--connections", "2", export.folder),
        env={**os.environ, "ELEVENLABS_API_KEY": simulator.api_key},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: len(list(export.folder.glob("shards/*.tar"))) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    simulator.latency = 0
    part = audio_in({n: c for n, c in shards(export.folder).items() if PART not in n})
    assert part.items() <= clips(simulator).items()
    summary(export())
    assert audio_in(shards(export.folder)) == clips(simulator)
    assert not list(export.folder.rglob(f"{PART}*"))


def test_a_clip_that_fails_is_left_out_and_comes_in_a_later_shard(export, simulator):
    bad = list(simulator.library.ids())[7]
    simulator.faults.add(Fault(f"GET /v1/history/{bad}/audio", "status", status=404))
    done = export()
    assert done.status == 69 and bad in done.err
    found = shards(export.folder)
    assert audio_in(found).keys() == clips(simulator).keys() - {bad}
    simulator.faults.clear()
    assert summary(export())["written"] == 1
    assert found.items() < shards(export.folder).items()
    assert audio_in(shards(export.folder)) == clips(simulator)


def test_a_shard_that_differs_is_reported_and_one_that_is_gone_written_again(export, simulator):
    summary(export())
    found = shards(export.folder)
    damaged, gone, *_ = sorted(export.folder.glob("shards/*"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    gone.unlink()
    done = export("--verify")
    assert (done.status, damaged.name in done.err) == (65, True)
    assert damaged.read_bytes()[-1:] == b"?"
    damaged.write_bytes(content)
    assert summary(export("--verify"))["written"] == 0
    assert shards(export.folder) == found


#: Prints the SHA-256 of each clip by its key, as WebDataset reads them.
READ = """
import hashlib, json, sys, webdataset
for each in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    assert json.loads(each["json"])["history_item_id"] == each["__key__"] and each["txt"]
    (audio,) = (each[name] for name in each if name not in ("txt", "json") and name[0] != "_")
    print(each["__key__"], hashlib.sha256(audio).hexdigest())
"""


def test_webdataset_reads_the_shards(export, simulator):
    pytest.importorskip("webdataset")
    summary(export())
    urls = sorted(export.folder.glob("shards/*"))
    done = subprocess.run(
        [sys.executable, "-c", READ, *urls], capture_output=True, text=True, check=True
    )
    expected = {key: hashlib.sha256(clip).hexdigest() for key, clip in clips(simulator).items()}
    assert dict(line.split() for line in done.stdout.splitlines()) == expected
