"""A server that fails: the errno of each failure, and what is listed, kept and sent meanwhile."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from histfs.simulator import Fault
from tests.faults.conftest import (
    AUDIO,
    DELETE,
    LIST,
    audio_of,
    backed_up,
    code_of,
    contents,
    mounted_system,
    rsync,
)  # fmt: skip
from tests.support.eventually import eventually
from tests.support.mounts import id_of

pytestmark = pytest.mark.fuse

ALL = "/v1/history"


def answers(status, body=None, **more):
    return Fault(ALL, "status", status=status, body=body, **more)


class Row(NamedTuple):
    """A failure of the server for all requests, and the errno of each call.

    Attributes:
        fault: the fault.
        unknown: the errno of listing a day that is not known.
        known: the errno of listing a known day; None when it is shown.
        audio: the errno of reading a clip that is not cached.
    """

    fault: Fault
    unknown: str = "EIO"
    known: str | None = None
    audio: str = "EIO"


REFUSED = ("EACCES",) * 3
BUSY = ("EAGAIN", None, "EAGAIN")
PAGE = {"history": [], "has_more": True, "last_history_item_id": "again"}
ROWS = {
    "400": Row(answers(400)),
    "401 bad key": Row(answers(401, code="invalid_api_key"), *REFUSED),
    "401 missing_permissions": Row(answers(401, code="missing_permissions"), *REFUSED),
    "403": Row(answers(403), *REFUSED),
    "422": Row(answers(422, shape="validation")),
    "429": Row(answers(429), *BUSY),
    "429 for an hour": Row(answers(429, headers={"Retry-After": "3600"}), *BUSY),
    "500": Row(answers(500)),
    "502 of a proxy": Row(Fault(ALL, "html", status=502)),
    "503": Row(answers(503, headers={"Retry-After": "soon"})),
    "a sign-in page": Row(Fault(ALL, "html")),
    "{}": Row(answers(200, {})),
    "broken JSON": Row(Fault(ALL, "garbage")),
    "a list": Row(answers(200, [])),
    "null": Row(answers(200, "null")),
    "no list": Row(answers(200, {"history": None, "has_more": False})),
    "empty pages": Row(answers(200, PAGE)),
    "an empty body": Row(answers(200, "")),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_server_that_fails_takes_nothing_away(system, tmp_path, row):
    known, unknown = system.known_day(), system.unknown_day()
    items = sorted(known.iterdir())
    here, elsewhere, *others = map(audio_of, items)
    # Two clips are not here: with each of them a busy server is asked for seconds.
    for clip in (here, *others[1:]):
        clip.read_bytes()
    backup, old = tmp_path / "backup", tmp_path / "old"
    before = backed_up(system, known, backup)
    (old / "item").mkdir(parents=True)
    (old / "item" / "audio.mp3").write_bytes(b"kept")
    in_trash = len(system.trashed())

    with system.failing(row.fault):
        assert code_of(os.listdir, unknown) == row.unknown
        assert code_of(os.listdir, known) == row.known
        assert code_of(elsewhere.read_bytes) == row.audio
        # Its audio can't be fetched, so it isn't deleted.
        assert code_of(elsewhere.unlink) == "EIO"
        assert system.simulator.counts[DELETE] == 0
        # Whether it was deleted can't be found out, so its copy stays.
        assert code_of(here.unlink) == "EIO"
        assert system.simulator.counts[DELETE] == 1
        assert rsync(unknown, old) != 0
        assert rsync(known, backup) != 0

    assert contents(backup) == before
    assert contents(old) == {"item/audio.mp3": b"kept"}
    system.recovers(unknown)
    system.recovers(known)
    assert here.read_bytes() == system.served(items[0])
    assert elsewhere.read_bytes() == system.served(items[1])
    assert len(system.trashed()) - in_trash == 1


def test_an_address_without_a_history_takes_nothing_away(system, tmp_path):
    known, unknown = system.known_day(), system.unknown_day()
    item = min(known.iterdir())
    before = backed_up(system, known, tmp_path)
    with system.failing(answers(404)):
        assert code_of(os.listdir, unknown) == "EIO"
        assert code_of(os.listdir, known) is None
        assert code_of(audio_of(item).read_bytes) == "ENOENT"
        assert rsync(known, tmp_path) != 0
    assert contents(tmp_path) == before
    system.recovers(unknown)
    eventually(lambda: code_of(audio_of(item).read_bytes) is None)
    assert audio_of(item).read_bytes() == system.served(item)


def test_audio_that_is_missing_is_not_asked_for_with_each_open(system):
    audio = audio_of(system.item())
    with system.failing(Fault("/audio", "status", status=404)):
        for _ in range(300):
            assert code_of(audio.read_bytes) == "ENOENT"
        assert system.simulator.counts[AUDIO] < 100
    eventually(lambda: code_of(audio.read_bytes) is None)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_item_whose_audio_can_not_be_fetched_is_not_deleted(system, status):
    item = min(system.known_day().iterdir())
    in_trash = system.trashed()
    with system.failing(Fault("/audio", "status", status=status)):
        result = subprocess.run(["rm", "-r", item], capture_output=True, text=True)
        assert (result.returncode, "Input/output error" in result.stderr) == (1, True)
    assert system.simulator.counts[DELETE] == 0
    assert system.trashed() == in_trash
    assert len(list(item.iterdir())) == 3
    # Missing audio (404) is remembered for a moment.
    eventually(lambda: code_of(audio_of(item).read_bytes) is None)
    assert audio_of(item).read_bytes() == system.served(item)


@pytest.mark.parametrize(
    "fault",
    [
        answers(429, headers={"Retry-After": "0"}, count=2),
        answers(503, count=3),
        Fault(ALL, "reset", count=1),
    ],
    ids=["429", "503", "reset"],
)
def test_a_server_that_fails_and_then_answers_is_waited_for(system, fault):
    day = system.unknown_day()
    with system.failing(fault):
        assert {id_of(item) for item in day.iterdir()} == system.ids(day)
        assert system.simulator.counts[LIST] > fault.count


def test_a_cursor_that_comes_twice_ends_a_listing_with_an_error(tmp_path, binding):
    with mounted_system(tmp_path, binding) as system:
        library, view = system.simulator.library, system.mount.path / "by-source"
        # Each page begins with the last item of the one before.
        unknown = [library.item(item) for item in library.ids()][999:]
        pages = [
            {"history": part, "has_more": True, "last_history_item_id": "again"}
            for part in (unknown[:700], unknown[699:1400])
        ]
        backup = tmp_path / "backup"
        (backup / "TTS" / "item").mkdir(parents=True)
        with system.failing(answers(200, pages[0], count=1), answers(200, pages[1])):
            assert code_of(os.listdir, view) == "EIO"
            assert rsync(view, backup) != 0
        assert (backup / "TTS" / "item").exists()
        assert set(library.ids()) == eventually(lambda: {id_of(item) for item in view.glob("*/*")})


def test_what_comes_and_goes_while_it_is_paged_costs_no_other_item(tmp_path, binding):
    with mounted_system(tmp_path, binding) as system, ThreadPoolExecutor() as readers:
        library = system.simulator.library
        newest, *between, oldest = library.ids()
        with system.failing(Fault(f"GET {ALL}$", "hang", after=1, count=1, seconds=1)):
            reading = readers.submit(list, (system.mount.path / "by-source").glob("*/*"))
            eventually(lambda: system.simulator.counts[LIST] == 2)
            library.remove(newest)
            library.remove(oldest)
            (came,) = library.add()
            shown = {id_of(item) for item in reading.result()}
        assert set(between) <= shown <= {newest, *between, oldest, came}
