"""`histfs.open`: the history as a tree for programs, without a mount."""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import pytest

import histfs
from histfs.core.errors import HistfsError, NoSuchPath
from histfs.core.name_forms import is_audio_name
from histfs.settings import NoKey, OptionError
from histfs.simulator import Fault


@pytest.fixture
def opened(simulator, tmp_path):
    """Open the simulator's history, with more options."""

    def opened(api_key=simulator.api_key, **options):
        place = {"cache_dir": tmp_path / "cache", "trash": tmp_path / "trash", "timezone": "UTC"}
        return histfs.open(api_key, base_url=simulator.base_url, **{**place, **options})

    return opened


def test_it_shows_what_a_mount_shows_and_follows_links(opened, simulator):
    with opened() as history:
        names = [entry.name for entry in history.listdir("/")]
        assert names == ["by-date", "by-voice", "by-source", "conversations"]
        voice = next(iter(history.listdir("by-voice"))).name
        link = next(iter(history.listdir(f"/by-voice/{voice}"))).name
        path = f"/by-voice/{voice}/{link}"
        assert history.readlink(path).startswith("../../by-date/")
        files = {entry.name for entry in history.listdir(path)}
        assert {"meta.json", "text.txt"} < files
        with pytest.raises(NoSuchPath):
            history.stat("/by-voice/nobody")


def test_a_file_is_one_of_pythons_that_can_be_read_from_any_position(opened):
    with opened() as history:
        item = _first_item(history)
        name = next(e.name for e in history.listdir(item) if is_audio_name(e.name))
        with history.open(f"{item}/{name}") as file:
            content = file.read()
            assert len(content) == file.size == history.stat(f"{item}/{name}").size
            file.seek(-10, io.SEEK_END)
            assert file.read() == content[-10:]
            file.seek(5)
            assert (file.read(3), file.tell()) == (content[5:8], 8)
        with pytest.raises(ValueError, match="negative"):
            history.open(f"{item}/text.txt").raw.seek(-1)


def test_what_is_deleted_is_in_the_trash_first(opened, simulator, tmp_path):
    with opened() as history:
        item = _first_item(history)
        history.delete(item)
        with pytest.raises(NoSuchPath):
            history.stat(f"{item}x")
    assert item.rpartition("_")[2] not in set(simulator.library.ids())
    assert len(list((tmp_path / "trash").rglob("audio.[!s]*"))) == 1


def test_an_option_has_the_name_and_the_check_of_the_command_line(opened, monkeypatch):
    with pytest.raises(OptionError, match="listing-ttl"), opened(listing_ttl="soon"):
        pass
    with pytest.raises(HistfsError, match="Nowhere"), opened(timezone="Nowhere"):
        pass
    with pytest.raises(TypeError, match="tail"), opened(tail=1):
        pass
    monkeypatch.setenv("HISTFS_VIEWS", "by-day")
    with opened() as history:
        assert [entry.name for entry in history.listdir("/")] == ["by-day", "conversations"]


def test_the_key_is_found_as_the_command_line_finds_it_and_stays_in_the_environment(
    opened, simulator, monkeypatch
):
    monkeypatch.setenv("ELEVENLABS_API_KEY", simulator.api_key)
    for _ in range(2):
        with opened(None) as history:
            assert list(history.listdir("/by-source"))
    assert os.environ["ELEVENLABS_API_KEY"] == simulator.api_key
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    with pytest.raises(NoKey), opened(None):
        pass


def test_the_items_are_the_rows_of_a_table(opened, simulator):
    with opened() as history:
        rows = list(history.items())
        assert {row.id for row in rows} == set(simulator.library.ids())
        assert [row.time for row in rows] == sorted(row.time for row in rows)
        row = rows[-1]
        known = simulator.library.item(row.id)
        assert (row.time, row.text, row.voice) == (
            known["date_unix"], known["text"], known["voice_name"],
        )  # fmt: skip
        charged = known["character_count_change_to"] - known["character_count_change_from"]
        assert (row.model, row.source, row.characters) == (
            known["model_id"], known["source"], charged,
        )  # fmt: skip
        assert (row.size, row.sha256, row.kind) == (None, None, "history")
        (name,) = (name for name in history.ls(row.path) if is_audio_name(name))
        with history.open(f"{row.path}/{name}") as file:
            content = file.read()
        (row,) = (each for each in history.items(since=row.time) if each.id == row.id)
        assert (row.size, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert history.sha256(f"{row.path}/{name}") == row.sha256
        assert history.sha256(f"{row.path}/text.txt") is None


def test_the_items_are_all_or_an_error(opened, simulator):
    simulator.faults.add(Fault("GET /v1/history", "status", status=500))
    with opened(timeout=1) as history, pytest.raises(HistfsError):
        list(history.items())


def _first_item(history):
    path = "/by-date"
    for _ in range(4):
        path += "/" + next(iter(history.listdir(path))).name
    return path


def test_the_example_of_the_readme_prints_texts(simulator, tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(import histfs\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "histfs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.work]\nbase_url = "{simulator.base_url}"\n')
    monkeypatch.setenv("ELEVENLABS_API_KEY", simulator.api_key)
    monkeypatch.setenv("HISTFS_CACHE_DIR", str(tmp_path))
    exec(example, {})
    assert len(capsys.readouterr().out.splitlines()) > 3
