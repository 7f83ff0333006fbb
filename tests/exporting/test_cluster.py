"""`histfs export --dask`: a scheduler and workers, each a process of its own, and no clip twice."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from histfs.exporting.destination import LOCK, PART
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.eventually import eventually

pytest.importorskip("distributed")

AUDIO = "GET /v1/history/{id}/audio"
ITEMS, CONNECTIONS = 60, 3
pytestmark = pytest.mark.timeout(240)


#: A lease of a worker that was killed is free again after a moment.
LEASES = {
    "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": "3s",
    "DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_VALIDATION_INTERVAL": "500ms",
}


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder, environment):
        self.file = folder / "scheduler.json"
        self._log = folder / "dask.log"
        self._folder = folder
        self._environment = environment
        self.scheduler = self._start(
            "scheduler", "--scheduler-file", self.file, "--port", 0, "--no-dashboard",
            "--host", "127.0.0.1",
        )  # fmt: skip
        self.workers = []
        eventually(self.file.exists, seconds=30)

    def add(self, number=1, **environment):
        for _ in range(number):
            self.workers.append(
                self._start(
                    "worker", "--scheduler-file", self.file, "--no-nanny", "--nthreads", 1,
                    "--no-dashboard", "--local-directory", self._folder, **environment,
                )
            )  # fmt: skip

    def _start(self, *arguments, **environment):
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, arguments)],
                env={**self._environment, **environment}, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self):
        return self._log.read_text()

    def close(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()


@pytest.fixture
def simulator(request):
    more = getattr(request, "param", {})
    given = {"items": ITEMS, "days": 50, "conversations": 4, "audio_after": 0, **more}
    settings = SimulatorSettings(**given)
    with Simulator(settings) as running:
        yield running


#: Enough conversations for some that have files.
talks = pytest.mark.parametrize("simulator", [{"conversations": 12}], indirect=True, ids=["talks"])


@pytest.fixture
def cluster(tmp_path, simulator):
    (tmp_path / "dask").mkdir()
    environment = {**os.environ, **LEASES, "ELEVENLABS_API_KEY": simulator.api_key}
    made = Cluster(tmp_path / "dask", environment)
    yield made
    made.close()


@pytest.fixture
def export(simulator, cluster, tmp_path):
    """Run the command as a process; `export.folder` is where it writes."""

    def start(*more, to=None):
        return subprocess.Popen(
            [
                sys.executable, "-m", "histfs", "export", "--json", "--base-url",
                simulator.base_url, "--cache-dir", tmp_path / "cache", "--connections",
                str(CONNECTIONS), "--dask", cluster.file, *more, to or start.folder,
            ],
            env={**os.environ, **LEASES, "ELEVENLABS_API_KEY": simulator.api_key},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    start.folder = tmp_path / "export"
    return start


def end(process, status=0):
    out, err = process.communicate(timeout=200)
    assert process.returncode == status, err
    assert "Traceback" not in err
    return (json.loads(out) if out else None), err


def sums(folder):
    """The SHA-256 of each object, by its name.

    A part that a killed worker has left is none; the next run removes it.
    """
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK and not path.name.startswith(PART)
    }


def clips_in(files):
    return {
        name.rpartition("/")[2].partition(".")[0]: digest
        for name, digest in files.items()
        if name.startswith("audio/") and "/conv_" not in name
    }


def clips(simulator):
    return {
        item: hashlib.sha256(bytes(simulator.library.clip(item))).hexdigest()
        for item in simulator.library.ids()
    }


@talks
def test_what_the_workers_export_is_what_one_process_exports(
    export, simulator, cluster, tmp_path, run
):
    cluster.add(2)
    simulator.latency = 0.02
    first, _ = end(export())
    assert first["failed"] == {} and first["written"] > 3 * ITEMS
    files = sums(export.folder)
    assert clips_in(files) == clips(simulator)
    assert any(name.startswith("attachments/") for name in files)
    assert simulator.counts[AUDIO] == ITEMS
    assert simulator.counts.max_in_flight <= CONNECTIONS
    simulator.counts.reset()
    again, _ = end(export())
    assert (again["written"], again["bytes"], again["months"]) == (0, 0, [])
    assert simulator.counts[AUDIO] == 0
    local = tmp_path / "local"
    arguments = ["export", "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache"]
    assert run(*arguments, local, key=simulator.api_key).status == 0
    # Which audio of conversations that go on is known differs.
    ours = ("audio/", "text/", "meta/", "attachments/", "metadata")
    one = {name: digest for name, digest in sums(local).items() if name.startswith(ours)}
    assert one == {name: digest for name, digest in files.items() if name.startswith(ours)}
    tables = [path.read_text() for path in export.folder.glob("table/*/items.jsonl")]
    rows = [json.loads(line) for table in tables for line in table.splitlines()]
    known = {row["audio"]: row["sha256"] for row in rows if row["audio"] in files}
    assert known == {name: files[name] for name in files if name.startswith("audio/")}
    assert simulator.api_key not in cluster.log


def test_a_worker_that_is_killed_costs_neither_a_clip_nor_a_second_object(
    export, simulator, cluster
):
    cluster.add(2)
    simulator.latency = 0.15
    process = export()
    eventually(lambda: len(list(export.folder.glob("audio/*/*"))) >= 8, seconds=60)
    cluster.workers[0].kill()
    done, _ = end(process)
    assert done["failed"] == {}
    files = sums(export.folder)
    assert clips_in(files) == clips(simulator)
    assert sum(name.startswith("audio/") for name in files) == len(clips(simulator)) + sum(
        "/conv_" in name for name in files if name.startswith("audio/")
    )
    assert simulator.counts.max_in_flight <= CONNECTIONS
    simulator.latency = 0
    simulator.counts.reset()
    again, _ = end(export())
    assert (again["written"], simulator.counts[AUDIO]) == (0, 0)


def test_a_clip_that_fails_for_good_is_reported_and_the_rest_exported(export, simulator, cluster):
    cluster.add(2)
    bad = next(iter(simulator.library.ids()))
    simulator.faults.add(Fault(f"GET /v1/history/{bad}/audio", "status", status=404))
    simulator.faults.add(Fault("/audio", "status", status=503, count=8))
    done, err = end(export(), 69)
    assert done["failed"].keys() == {bad}
    assert [line for line in err.splitlines() if bad in line]
    assert clips_in(sums(export.folder)).keys() == set(simulator.library.ids()) - {bad}


@pytest.mark.parametrize("simulator", [{"max_concurrent": 2}], indirect=True, ids=["two at once"])
def test_all_workers_together_follow_what_the_server_allows(export, simulator, cluster):
    cluster.add(3)
    simulator.latency = 0.05
    done, _ = end(export("--connections", "6"))
    assert done["failed"] == {}
    assert clips_in(sums(export.folder)) == clips(simulator)
    # Each request that were refused twice in three would make 120.
    assert 0 < simulator.concurrency.refused < ITEMS / 2


def test_without_a_scheduler_or_what_a_worker_needs_it_ends_in_one_line(
    export, simulator, cluster, tmp_path
):
    _, err = end(export("--dask", "tcp://127.0.0.1:9"), 69)
    assert err.splitlines()[-1].startswith("histfs: no Dask scheduler answers at tcp://127.0.0.1:9")
    cluster.add(ELEVENLABS_API_KEY="")
    _, err = end(export(), 69)
    assert "the worker tcp://" in err.splitlines()[-1] and "key" in err.splitlines()[-1]
    assert simulator.counts[AUDIO] == 0
