"""`histfs sync`: up to date without a mount, and whatever stops it, it goes on from there."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from histfs import logs
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.cli.conftest import TIMEOUT
from tests.support.mounts import command
from tests.support.terminal import read_to_end

LIST = "GET /v1/history"
AUDIO = "GET /v1/history/{id}/audio"
#: The same, as a fault's pattern.
LISTS = "GET /v1/history$"
DAY = 86_400


@pytest.fixture
def large():
    """An API with four pages of items."""
    with Simulator(SimulatorSettings(items=3500, days=100, alignments=False)) as running:
        yield running


@pytest.fixture
def at_once(monkeypatch):
    """Retry without pauses."""
    monkeypatch.setattr("histfs.cli.sync_steps.RETRY_PAUSES", (0, 0))
    monkeypatch.setattr("histfs.cli.sync.WAIT_BUDGET", 0.2)
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda seconds: None)


@pytest.fixture
def sync(run, tmp_path):
    """Run it in this process against a simulator."""

    def sync(server, *arguments, **env):
        place = ["--base-url", server.base_url, "--cache-dir", tmp_path / "cache"]
        return run("sync", *place, *arguments, key=server.api_key, **env)

    return sync


def age(tmp_path, seconds):
    """Make what is known older than it is."""
    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE windows SET asked = asked - ?", (seconds,))


def date(server, item_id):
    return server.library.item(item_id)["date_unix"]


def clips(tmp_path):
    """Return the cached clips: their ids and their bytes."""
    return {path.name: path.read_bytes() for path in (tmp_path / "cache").glob("*/audio/*/*")}


# The history


def test_each_step_is_a_line_and_each_page_a_request(sync, large):
    done = sync(large)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Asked for what is new: 1,000 items known.",
        "conversations: asked for what is new: 0 items known.",
        "The whole history is known: 3,500 items.",
        "conversations: the whole history is known: 0 items.",
        "conversations: fetched the details of 0 items.",
        "Up to date: 3,500 items known, 0 clips cached.",
    ]
    # One more asks for items whose dates lie in the future; an empty list is asked for twice.
    assert large.counts[LIST] == 5
    assert large.counts.total == 7


def test_what_is_known_is_not_read_again_but_for_the_newest_items(sync, large):
    sync(large)
    large.counts.reset()
    large.library.add(1)
    assert "Up to date: 3,501 items known" in sync(large).out
    assert large.counts[LIST] == 1


def test_what_was_known_for_too_long_is_asked_for_again(sync, large, tmp_path):
    sync(large)
    age(tmp_path, 2 * DAY)
    large.library.remove(min(large.library.ids(), key=lambda i: date(large, i)))
    assert "Up to date: 3,500 items known" in sync(large, "--rescan", "3d").out
    large.counts.reset()
    assert "Up to date: 3,499 items known" in sync(large).out
    assert 4 <= large.counts[LIST] <= 5


def test_it_ends_also_when_what_it_reads_is_too_old_at_once(sync, large):
    done = sync(large, "--rescan", "0.001")
    assert "Up to date: 3,500 items known" in done.out


def test_settings_of_a_mount_may_stand_in_the_file(sync, simulator, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('timezone = "UTC"\noptions = ["ro"]\nlisting_ttl = 5\nrescan = "1h"\n')
    assert sync(simulator, "--config", file).status == 0
    file.write_text("colour = 'red'\n")
    assert "colour is not a setting" in sync(simulator, "--config", file).line


# What goes wrong


def test_a_page_that_fails_for_a_while_is_asked_for_again(sync, large, at_once):
    # Each try is four requests, and a page that was prefetched is asked for once more at once.
    large.faults.add(Fault(LISTS, "status", status=500, after=2, count=9))
    done = sync(large)
    assert (done.status, done.err) == (0, "")
    assert "trying again in 0 seconds" in done.out
    assert "Up to date: 3,500 items known" in done.out


def test_a_server_that_goes_on_failing_ends_it_and_the_next_one_goes_on(sync, large, at_once):
    large.faults.add(Fault(LISTS, "status", status=503, after=3))
    done = sync(large)
    assert done.status == 69
    (line,) = done.err.splitlines()
    assert "goes on where this one stopped" in line
    large.faults.clear()
    large.counts.reset()
    assert "Up to date: 3,500 items known" in sync(large).out
    # The newest again, what was missing, and all of it without a filter, as that was interrupted.
    assert large.counts[LIST] <= 8


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        (Fault("GET", "status", status=500, body={"detail": "Oh no"}), 69, "Oh no"),
        (Fault("GET", "status", status=429), 75, "try again in a minute"),
        (Fault("GET", "status", status=401, body={"detail": "bad key"}), 77, "bad key"),
        (Fault("GET", "html"), 69, "not JSON"),
        (Fault("GET", "reset"), 69, "can't be reached"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_does_not_say_what_is_new_ends_it_also_where_all_was_known(
    sync, simulator, at_once, tmp_path, fault, status, message, known
):
    if known:
        sync(simulator)
        age(tmp_path, DAY / 2)
    simulator.faults.add(fault)
    done = sync(simulator)
    assert done.status == status
    assert message in done.line


def test_an_answer_that_never_comes_ends_it(sync, simulator, tmp_path):
    sync(simulator)
    age(tmp_path, DAY / 2)
    simulator.faults.add(Fault("GET", "hang"))
    done = sync(simulator, "--timeout", "1")
    assert done.status == 69
    assert "did not answer in time" in done.line


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_it_is_stopped_by_a_signal_and_goes_on_the_next_time(large, sync, tmp_path, number, status):
    line = command("sync", "--base-url", large.base_url, "--cache-dir", tmp_path / "cache")
    env = {**os.environ, "ELEVENLABS_API_KEY": large.api_key}
    large.faults.add(Fault(LISTS, "hang", after=3))
    with subprocess.Popen(
        line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + TIMEOUT
        while large.counts[LIST] < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status
    assert err == ("histfs: interrupted\n" if number == signal.SIGINT else "")
    large.faults.clear()
    large.counts.reset()
    assert "Up to date: 3,500 items known" in sync(large).out
    # The newest again, the fourth page, and items whose dates lie in the future; perhaps the third
    # page, which was just being stored.
    # The list is read without a filter, too, as it was not so when that was interrupted.
    assert large.counts[LIST] <= 8


# Audio


def test_with_audio_every_clip_is_fetched_once(sync, simulator, tmp_path):
    done = sync(simulator, "--audio")
    assert (done.status, done.err) == (0, "")
    fetched, last = done.out.splitlines()[-2:]
    assert re.fullmatch(r"Fetched 60 clips \([\d.]+ MB\)\.", fetched)
    assert last == "Up to date: 60 items known, 60 clips cached."
    assert clips(tmp_path) == {i: bytes(simulator.library.clip(i)) for i in simulator.library.ids()}
    assert "Fetched 0 clips." in sync(simulator, "--audio").out
    assert simulator.counts[AUDIO] == 60


def test_what_does_not_fit_is_told_with_the_option_to_raise(sync, simulator, tmp_path):
    done = sync(simulator, "--audio", "--audio-cache-size", "1M")
    assert done.status == 0
    kept = clips(tmp_path)
    assert f"Fetched {len(kept)} clips (" in done.out
    assert f"; {len(kept)} of 60 fit into the cache" in done.out
    assert "--audio-cache-size" in done.out
    ordered = sorted(simulator.library.ids(), key=lambda i: -date(simulator, i))
    assert set(kept) == set(ordered[: len(kept)])
    assert 0 < len(kept) < 60
    assert sum(map(len, kept.values())) <= 1 << 20


def test_sizes_are_all_learnt_though_few_clips_fit(sync, simulator, tmp_path):
    done = sync(simulator, "--sizes", "--audio-cache-size", "1M")
    assert (done.status, done.err) == (0, "")
    assert "Learnt 60 sizes (" in done.out
    kept = clips(tmp_path)
    assert 0 < len(kept) < 60
    assert sum(map(len, kept.values())) <= 1 << 20
    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as db:
        known = dict(db.execute("SELECT key, size FROM audio"))
    assert known == {i: len(simulator.library.clip(i)) for i in simulator.library.ids()}
    simulator.counts.reset()
    assert "Learnt 0 sizes." in sync(simulator, "--sizes").out
    assert simulator.counts[AUDIO] == 0


def test_a_server_that_tells_sizes_is_asked_for_them_and_sends_few_clips(sync, tmp_path):
    with Simulator(SimulatorSettings(items=200, audio_head=True)) as simulator:
        done = sync(simulator, "--sizes")
        sizes = {i: len(simulator.library.clip(i)) for i in simulator.library.ids()}
        fetched = simulator.counts[AUDIO]
    assert (done.status, done.err) == (0, "")
    assert "Learnt 200 sizes (" in done.out
    assert fetched < 100
    (path,) = (tmp_path / "cache").glob("*/catalog.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("SELECT key, size FROM audio")) == sizes


def test_a_size_that_can_not_be_learnt_is_counted_and_the_next_run_learns_it(sync, simulator):
    bad = list(simulator.library.ids())[7]
    simulator.faults.add(Fault(f"{bad}/audio", "status", status=400, body={"detail": "no voice"}))
    done = sync(simulator, "--sizes")
    assert done.status == 69
    assert re.search(r"Learnt 59 sizes \(.*\); 1 failed\.", done.out)
    assert "1 clip could not be fetched" in done.err
    simulator.faults.clear()
    done = sync(simulator, "--sizes")
    assert (done.status, done.err) == (0, "")
    assert "Learnt 1 size (" in done.out


def test_the_mounts_option_of_the_same_name_does_not_change_sync(sync, simulator, tmp_path):
    file = tmp_path / "sizes.toml"
    file.write_text('sizes = "exact"\n')
    done = sync(simulator, "--config", file, HISTFS_SIZES="exact")
    assert (done.status, done.err) == (0, "")
    assert simulator.counts[AUDIO] == 0


def test_clips_that_fail_are_counted_and_the_others_come(sync, simulator, tmp_path):
    bad = list(simulator.library.ids())[7]
    simulator.faults.add(Fault(f"{bad}/audio", "status", status=400, body={"detail": "no voice"}))
    done = sync(simulator, "--audio")
    assert done.status == 69
    assert done.out.splitlines()[-1] == "Incomplete: 60 items known, 59 clips cached."
    (line,) = done.err.splitlines()
    assert "1 clip could not be fetched" in line
    assert str(logs.log_file()) in line
    (logged,) = logs.log_file().read_text().splitlines()
    assert bad in logged
    assert "no voice" in logged


def test_a_clip_that_is_gone_is_no_failure(sync, simulator):
    gone = list(simulator.library.ids())[7]
    simulator.faults.add(Fault(f"{gone}/audio", "status", status=404))
    done = sync(simulator, "--audio")
    assert (done.status, done.err) == (0, "")
    assert gone not in done.out


def test_what_could_not_be_fetched_is_counted_by_its_reason_and_listed_when_asked(sync):
    with Simulator(SimulatorSettings(items=5, conversations=6)) as server:
        bad, *_ = server.library.ids()
        server.faults.add(Fault(f"{bad}/audio", "status", status=400, body={"detail": "no voice"}))
        done = sync(server, "--audio", "--verbose")
    assert done.status == 69
    line = next(line for line in done.out.splitlines() if line.startswith("Fetched"))
    # The recording of one conversation is being made.
    assert re.search(r"; 1 still being made; 1 failed\.$", line), line
    assert re.search(rf"^  {bad}: .*no voice", done.out, re.MULTILINE)
    assert re.search(r"^  \S+: .*being made", done.out, re.MULTILINE)


def test_quiet_prints_errors_alone(sync, simulator):
    done = sync(simulator, "--audio", "--quiet")
    assert (done.status, done.out, done.err) == (0, "", "")
    simulator.faults.add(Fault(LISTS, "status", status=400))
    done = sync(simulator, "-q")
    assert done.status == 69
    assert done.line


def test_one_run_is_enough_where_the_server_allows_two_requests_at_once(sync, tmp_path):
    settings = SimulatorSettings(items=40, conversations=40, max_concurrent=2, latency=0.005)
    with Simulator(settings) as server:
        done = sync(server, "--audio", "--timeout", "2")
        assert (done.status, done.err) == (0, "")
        assert "conversations: fetched the details of 40 items." in done.out
        assert server.concurrency.refused > 0
        assert set(server.library.ids()) <= set(clips(tmp_path))


@pytest.mark.parametrize("pattern", ["/audio", "/conversations/[^/]+$"], ids=["audio", "details"])
@pytest.mark.parametrize(
    # Each try is four requests, and one more where a kept connection breaks.
    "kind",
    [{"kind": "status", "status": 503, "count": 4}, {"kind": "reset", "count": 5}],
    ids=["503", "reset"],
)
def test_what_fails_for_a_while_is_tried_again_in_the_same_run(sync, at_once, pattern, kind):
    with Simulator(SimulatorSettings(items=10, conversations=10)) as server:
        server.faults.add(Fault(f"GET .*{pattern}", **kind))
        done = sync(server, "--audio", "--connections", "1", "--timeout", "2")
        assert (done.status, done.err) == (0, "")
        assert "trying again in 0 seconds" in done.out
        # The first try may have fetched the next item before it ended.
        assert re.search(r"conversations: fetched the details of (9|10) items\.", done.out)


def test_clips_that_go_on_being_refused_end_with_try_again_later(sync, simulator, at_once):
    simulator.faults.add(Fault("/audio", "status", status=429, after=20))
    done = sync(simulator, "--audio")
    assert done.status == 75
    assert "the next sync goes on where this one stopped; try again in a minute" in done.err


# A terminal


def test_on_a_terminal_it_shows_bars_and_gives_the_terminal_back(simulator, tmp_path):
    line = command("sync", "--audio", "--base-url", simulator.base_url, "--cache-dir", tmp_path)
    env = {**os.environ, "ELEVENLABS_API_KEY": simulator.api_key, "TERM": "xterm"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(line, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = read_to_end(ours)
    assert process.wait(TIMEOUT) == 0
    text = shown.decode()
    assert "Up to date: 60 items known, 60 clips cached." in text
    assert re.search(r"\d+ of 60", text)
    assert re.search(r"[\d.]+ [KM]B, [\d.]+ [KM]B/s", text)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
