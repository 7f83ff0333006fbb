"""The stamp of the code that renders files covers all of the code that runs then."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import histfs
from histfs.core.captions import cues_of
from histfs.core.file_context import FileContext
from histfs.core.files import MetaFile, TextFile
from histfs.core.files.caption_files import LrcFile, SrtFile, VttFile
from histfs.core.source import Traits
from histfs.mounting import renderer_stamp
from histfs.sources.elevenlabs.history_objects import details_of
from histfs.sources.elevenlabs.timed_words import timed_words_of_clip
from tests.core.fakes import FakeAudio, TableIndex

PACKAGE = Path(histfs.__file__).parent
ALIGNMENT = {
    "characters": [*"Grüße, 世界! And so on."],
    "character_start_times_seconds": [n / 9 for n in range(23)],
    "character_end_times_seconds": [(n + 1) / 9 for n in range(23)],
}
OBJECTS = [
    json.dumps({"history_item_id": "a", "text": "x", "alignments": {"alignment": ALIGNMENT}}),
    # Read leniently.
    json.dumps(
        {"text": 7, "alignments": {"alignment": {**ALIGNMENT, "characters": [1, "\ud800"]}}}
    ),
    json.dumps({"dialogue": [{"voice_id": "v", "voice_name": "V", "text": "a"}, {"text": "b"}]}),
    '{"deep": ' + "[" * 3000 + "]" * 3000 + "}",
]


@pytest.fixture(autouse=True)
def _new():
    renderer_stamp.renderer_stamp.cache_clear()
    yield
    renderer_stamp.renderer_stamp.cache_clear()


def render_all():
    """Render the files of all objects, and print which files of histfs have run."""
    context = FileContext(Traits(timed_words=timed_words_of_clip), TableIndex(), FakeAudio())
    files = [kind(context) for kind in (MetaFile, TextFile, SrtFile, VttFile, LrcFile)]
    ran = set()
    sys.setprofile(lambda frame, event, argument: ran.add(frame.f_code.co_filename))
    try:
        for raw in OBJECTS:
            details = details_of(raw.encode())
            for file in files:
                file.render(details)
    finally:
        sys.setprofile(None)
    print(json.dumps([name for name in ran if PACKAGE in Path(name).parents]))


def test_every_module_that_runs_while_a_file_is_rendered_is_part_of_the_stamp():
    # In a process of its own: here objects of other tests may end meanwhile.
    script = f"from {__name__} import render_all; render_all()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    ran = {Path(name) for name in json.loads(done.stdout)}
    assert Path(sys.modules[cues_of.__module__].__file__) in ran
    assert ran <= set(renderer_stamp.code_files())


@pytest.mark.parametrize("place", ["core/captions/cues.py", "core/item.py"])
def test_a_change_of_one_byte_changes_the_stamp(tmp_path, monkeypatch, place):
    for file in renderer_stamp.code_files():
        copy = tmp_path / file.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    before = renderer_stamp.renderer_stamp()
    assert before is not None
    monkeypatch.setattr(renderer_stamp, "_LOADED_AT", time.time() + 60)
    monkeypatch.setattr(renderer_stamp, "_PACKAGE", tmp_path)
    renderer_stamp.renderer_stamp.cache_clear()
    assert renderer_stamp.renderer_stamp() == before
    (tmp_path / place).write_bytes((tmp_path / place).read_bytes() + b"#")
    renderer_stamp.renderer_stamp.cache_clear()
    assert renderer_stamp.renderer_stamp() != before


def test_code_that_was_changed_after_it_was_loaded_has_no_stamp(monkeypatch):
    newest = max(file.stat().st_ctime for file in renderer_stamp.code_files())
    monkeypatch.setattr(renderer_stamp, "_LOADED_AT", newest - 0.1)
    assert renderer_stamp.renderer_stamp() is None


def test_another_python_or_msgspec_has_another_stamp(monkeypatch):
    before = renderer_stamp.renderer_stamp()
    for module, name in [(sys, "version"), (renderer_stamp.msgspec, "__version__")]:
        with monkeypatch.context() as patched:
            patched.setattr(module, name, "another")
            renderer_stamp.renderer_stamp.cache_clear()
            assert renderer_stamp.renderer_stamp() != before


def test_without_the_code_there_is_no_stamp(tmp_path, monkeypatch):
    monkeypatch.setattr(renderer_stamp, "_PACKAGE", tmp_path / "archive.zip")
    assert renderer_stamp.renderer_stamp() is None
