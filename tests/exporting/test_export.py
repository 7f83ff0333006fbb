"""`histfs export`: every clip, byte for byte, once; whole objects, and none that others wrote."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time

import pytest

from histfs.exporting.destination import LOCK, PART, Folder
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.support.mounts import command

AUDIO = "GET /v1/history/{id}/audio"
TIMEOUT = 60


@pytest.fixture
def simulator(request):
    """An API with items of two months, and some conversations, of which one goes on."""
    talks = getattr(request, "param", 12)
    with Simulator(SimulatorSettings(items=30, days=50, conversations=talks)) as running:
        yield running


#: A history in which nothing changes by itself.
still = pytest.mark.parametrize("simulator", [0], indirect=True, ids=["still"])


@pytest.fixture
def arguments(simulator, tmp_path):
    cache = tmp_path / "cache"
    return ["export", "--base-url", simulator.base_url, "--cache-dir", str(cache), "--json"]


@pytest.fixture
def export(run, simulator, arguments, tmp_path):
    """Run the command; `export.folder` is where it writes."""

    def export(*more, to=None):
        return run(*arguments, *more, to or export.folder, key=simulator.api_key)

    export.folder = tmp_path / "export"
    return export


def summary(done):
    assert done.status == 0, done
    return json.loads(done.out)


def sums(folder):
    """The SHA-256 of each file, by its name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


def clips(simulator):
    """The SHA-256 of each clip, by the id of its item."""
    return {
        item: hashlib.sha256(bytes(simulator.library.clip(item))).hexdigest()
        for item in simulator.library.ids()
    }


def audio_in(files):
    """The checksums of audio of the history, by id."""
    return {
        name.rpartition("/")[2].partition(".")[0]: digest
        for name, digest in files.items()
        if name.startswith("audio/") and "/conv_" not in name
    }


def test_every_clip_is_there_byte_for_byte_with_text_metadata_and_table(export, simulator):
    first = summary(export())
    files = sums(export.folder)
    assert audio_in(files) == clips(simulator)
    ours = ("audio/", "text/", "meta/", "attachments/")
    assert first["written"] == sum(name.startswith(ours) for name in files)
    assert first["failed"] == {} and first["differing"] == []
    rows = [
        json.loads(line)
        for file in export.folder.glob("table/month=*/items.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert len(rows) == 42
    for row in rows:
        month = row["time"][:7]
        name = f"month={month}/{row['id']}"
        meta = json.loads((export.folder / "meta" / f"{name}.json").read_text())
        assert row["id"] in (meta.get("history_item_id"), meta.get("conversation_id"))
        text = (export.folder / "text" / f"{name}.txt").read_text()
        assert text == (f"{row['text']}\n" if row["text"] is not None else "")
        if row["audio"] in files:
            assert files[row["audio"]] == row["sha256"]
    listed = [
        json.loads(line) for line in (export.folder / "metadata.jsonl").read_text().splitlines()
    ]
    assert {line["file_name"] for line in listed} == {n for n in files if n.startswith("audio/")}


def files_of(simulator, folder):
    """The files of the conversations in an export, by the id of the conversation."""
    found = {}
    for meta in folder.glob("meta/*/conv_*.json"):
        conversation = json.loads(meta.read_text())
        if conversation["status"] != "done":
            continue
        key = conversation["conversation_id"]
        for turn in conversation["transcript"]:
            several = turn.get("file_inputs") or [turn.get("file_input")]
            for file in filter(None, several):
                content = simulator.conversations.file(key, file["file_id"])
                if content is not None:
                    digest = hashlib.sha256(bytes(content)).hexdigest()
                    found.setdefault(key, {})[file["file_id"]] = digest
    return found


def test_the_files_of_conversations_are_there_but_those_that_the_server_has_deleted(
    export, simulator, tmp_path
):
    summary(export())
    expected = files_of(simulator, export.folder)
    assert sum(map(len, expected.values())) >= 2
    found = {}
    for name, digest in sums(export.folder).items():
        if name.startswith("attachments/"):
            found.setdefault(name.split("/")[2], []).append(digest)
    assert {key: sorted(each) for key, each in found.items()} == {
        key: sorted(each.values()) for key, each in expected.items()
    }
    key, (gone, *_) = next(iter(expected.items()))
    simulator.conversations.remove_file(key, gone)
    other = tmp_path / "other"
    assert summary(export("--cache-dir", tmp_path / "empty", to=other))["failed"] == {}
    assert len(list(other.glob(f"attachments/*/{key}/*"))) == len(expected[key]) - 1


@pytest.mark.parametrize("simulator", [40], indirect=True, ids=["many talks"])
def test_an_export_of_before_attachments_gets_them(export, simulator):
    """Also a month of which all was written, as that version saw it."""
    summary(export())
    everything, removed = sums(export.folder), []
    for manifest in export.folder.glob("manifest/*"):
        first, *items = map(json.loads, manifest.read_text().splitlines())
        for _, objects in items:
            for kind in [each for each in objects if each.startswith("attachments/")]:
                name, _, _ = objects.pop(kind)
                (export.folder / name).unlink()
                removed.append((bool(first["state"]), name))
        lines = [first | {"version": 1}, *items]
        manifest.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert {complete for complete, _ in removed} == {True, False}
    simulator.counts.reset()
    assert summary(export())["written"] == len(removed)
    assert simulator.counts[AUDIO] == 0
    assert sums(export.folder) == everything
    simulator.counts.reset()
    assert summary(export())["written"] == 0
    assert not [name for name in simulator.counts.per_endpoint() if "/files/" in name]


@still
def test_a_second_run_moves_nothing_and_asks_for_nothing_that_is_known(export, simulator):
    summary(export())
    before = {path: path.stat().st_mtime_ns for path in export.folder.rglob("*.*")}
    simulator.counts.reset()
    again = summary(export())
    assert (again["written"], again["bytes"], again["months"]) == (0, 0, [])
    assert simulator.counts[AUDIO] == 0
    assert simulator.counts.total <= 3  # what is new
    assert before == {path: path.stat().st_mtime_ns for path in before}


@still
def test_without_the_cache_nothing_is_fetched_that_is_there(export, simulator, tmp_path):
    """The manifest knows what the destination has, whatever becomes of this machine."""
    summary(export())
    (tmp_path / "cache").rename(tmp_path / "lost")
    simulator.counts.reset()
    assert summary(export())["bytes"] == 0
    assert simulator.counts[AUDIO] == 0


def test_a_new_item_is_added_and_one_that_is_deleted_stays(export, simulator):
    summary(export())
    gone = next(iter(simulator.library.ids()))
    simulator.library.remove(gone)
    simulator.library.add(ids=["newborn"], fields={"text": "I am new."})
    done = summary(export("--rescan", "0.001"))
    assert done["failed"] == {}
    files = sums(export.folder)
    assert {gone, "newborn"} <= audio_in(files).keys()
    assert (export.folder / "text" / "month=2026-01" / "newborn.txt").read_text() == "I am new.\n"


@pytest.mark.parametrize("kind", ["status", "html", "empty"])
def test_a_clip_that_fails_for_good_is_reported_and_the_rest_exported(export, simulator, kind):
    bad = next(iter(simulator.library.ids()))
    status = {"status": 404} if kind == "status" else {}
    simulator.faults.add(Fault(f"GET /v1/history/{bad}/audio", kind, **status))
    done = export()
    assert done.status == 69
    assert [line for line in done.err.splitlines() if bad in line]
    assert json.loads(done.out)["failed"].keys() == {bad}
    assert audio_in(sums(export.folder)).keys() == set(simulator.library.ids()) - {bad}
    simulator.faults.clear()
    simulator.counts.reset()
    assert summary(export())["failed"] == {}
    assert audio_in(sums(export.folder)) == clips(simulator)
    assert simulator.counts[AUDIO] == 1


def test_what_the_server_refuses_for_a_moment_is_tried_again(export, simulator):
    simulator.faults.add(Fault("/audio", "status", status=503, count=9))
    assert summary(export())["failed"] == {}
    assert audio_in(sums(export.folder)) == clips(simulator)


def test_since_exports_the_month_of_the_date_and_later_ones(export, simulator):
    assert summary(export("--since", "2026-01-31"))["failed"] == {}
    months = {path.name for path in export.folder.glob("*/*") if path.is_dir()}
    assert months == {"month=2026-01"}
    assert [path.name for path in export.folder.glob("manifest/*")] == ["month=2026-01.jsonl"]
    summary(export())
    assert audio_in(sums(export.folder)) == clips(simulator)


def test_an_answer_that_was_cut_short_is_asked_for_again(export, simulator):
    simulator.faults.add(Fault("/audio", "cut", count=1))
    assert summary(export())["failed"] == {}
    assert audio_in(sums(export.folder)) == clips(simulator)


@pytest.fixture
def cached(run, simulator, arguments, tmp_path):
    """Return the files of the clips in the cache; with `fetch` all are fetched before."""

    def cached(*, fetch=False):
        if fetch:
            options = [each for each in arguments[1:] if each != "--json"]
            assert run("sync", "--audio", "-q", *options, key=simulator.api_key).status == 0
        return [path for path in (tmp_path / "cache").rglob("audio/??/*") if path.is_file()]

    return cached


def test_a_clip_that_is_damaged_in_the_cache_is_not_exported(export, simulator, cached):
    for clip in (found := cached(fetch=True)):
        clip.write_bytes(clip.read_bytes()[:-1] + b"?")
    assert len(found) >= 30
    assert summary(export())["failed"] == {}
    assert audio_in(sums(export.folder)) == clips(simulator)


@still
def test_clips_come_from_the_cache_or_past_it(export, simulator, cached, tmp_path):
    """An export must not evict what the user listens to."""
    summary(export(to=tmp_path / "first"))
    assert simulator.counts[AUDIO] == 30 and not cached()
    assert len(cached(fetch=True)) == 30
    simulator.counts.reset()
    summary(export())
    assert audio_in(sums(export.folder)) == clips(simulator)
    assert simulator.counts[AUDIO] == 0


def test_after_a_kill_it_goes_on_and_no_part_of_a_file_is_left(export, arguments, simulator):
    simulator.latency = 0.1
    environment = {**os.environ, "ELEVENLABS_API_KEY": simulator.api_key}
    for pause in (1.5, 2.5):
        process = subprocess.Popen(
            command(*arguments, "--connections", "2", export.folder), env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + TIMEOUT
        while not (export.folder / "audio").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(pause - 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (export.folder / f"{PART}1-2").write_bytes(b"half")
    part = audio_in({name: each for name, each in sums(export.folder).items() if PART not in name})
    assert part.items() <= clips(simulator).items()
    simulator.latency = 0
    simulator.counts.reset()
    summary(export())
    assert audio_in(sums(export.folder)) == clips(simulator)
    assert simulator.counts[AUDIO] <= 30 - len(part)
    assert not list(export.folder.rglob(f"{PART}*"))


@still
@pytest.mark.parametrize("own", [True, False], ids=["of an earlier run", "of others"])
def test_an_object_that_differs_is_reported_and_left(export, simulator, tmp_path, own):
    summary(export())
    name = min(export.folder.glob("audio/*/*")).relative_to(export.folder)
    if not own:
        export.folder = tmp_path / "other"
        (export.folder / name).parent.mkdir(parents=True)
    audio = export.folder / name
    audio.write_bytes(b"mine")
    done = export()
    assert done.status == 65
    assert audio.name in done.err and "left as it is" in done.err
    assert json.loads(done.out)["failed"] == {}
    assert audio.read_bytes() == b"mine"
    assert len(sums(export.folder)) > 90
    # Again: it is not forgotten.
    assert export().status == 65
    audio.unlink()
    assert summary(export())["written"] == 1


@still
def test_verify_finds_what_has_the_same_size_and_restores_what_is_gone(export, simulator):
    summary(export())
    damaged, gone, *_ = sorted(export.folder.glob("audio/*/*"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    gone.unlink()
    done = export("--verify")
    assert done.status == 65
    assert damaged.name in done.err
    assert json.loads(done.out)["written"] == 1
    damaged.write_bytes(content)
    assert summary(export("--verify"))["written"] == 0
    assert audio_in(sums(export.folder)) == clips(simulator)


def test_two_at_once_are_refused(export):
    summary(export())
    with (export.folder / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (done := export()).status == 75
    assert "another histfs" in done.line


def test_a_disk_that_fills_ends_it_in_one_line(export, simulator, monkeypatch):
    put, number = Folder.put, iter(range(1000))

    def full(self, name, content):
        if next(number) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, name, content)

    def mapped(self, name, content):
        with self._errors("written", name):
            full(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "put", mapped)
        done = export()
    assert (done.status, "no space left" in done.line) == (75, True)
    summary(export())
    assert audio_in(sums(export.folder)) == clips(simulator)


def test_a_destination_that_cannot_be_written_is_one_line(export, tmp_path):
    (tmp_path / "file").write_text("")
    assert (done := export(to=tmp_path / "file" / "x")).status == 78
    assert "can't be made" in done.line
    assert (done := export(to="nothing://at/all")).status == 78
    assert "nothing" in done.line


# A bucket


def objects_of(bucket):
    return {
        name.removeprefix(f"{bucket.name}/x/"): hashlib.sha256(bucket.cat(name)).hexdigest()
        for name in bucket.find(f"{bucket.name}/x")
    }


@still
def test_a_bucket_gets_what_a_folder_gets_and_the_second_run_moves_nothing(
    export, simulator, bucket
):
    url = f"s3://{bucket.name}/x"
    summary(export(to=url))
    objects = objects_of(bucket)
    assert audio_in(objects) == clips(simulator)
    summary(export())
    assert objects == {n: d for n, d in sums(export.folder).items() if n in objects}
    assert {n for n in sums(export.folder) if not n.startswith(".")} <= objects.keys()
    modified = {n: e["LastModified"] for n, e in bucket.find(bucket.name, detail=True).items()}
    simulator.counts.reset()
    again = summary(export(to=url))
    assert (again["written"], again["bytes"], simulator.counts[AUDIO]) == (0, 0, 0)
    for name, entry in bucket.find(bucket.name, detail=True).items():
        assert entry["LastModified"] == modified[name]


@still
def test_an_object_of_a_bucket_that_differs_is_left(export, bucket):
    url = f"s3://{bucket.name}/x"
    summary(export(to=url))
    name = sorted(bucket.find(f"{bucket.name}/x/audio"))[0]
    bucket.pipe_file(name, b"mine")
    done = export("--verify", to=url)
    assert (done.status, bucket.cat(name)) == (65, b"mine")
    bucket.rm(name)
    assert summary(export(to=url))["written"] == 1


def test_a_bucket_that_is_not_there_or_not_allowed_is_one_line(export, bucket, monkeypatch):
    done = export(to="s3://not-there-at-all/x")
    assert (done.status, "not-there-at-all" in done.line) == (78, True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    done = export(to=f"s3://{bucket.name}/y")
    assert (done.status, "redential" in done.line) == (78, True)
