"""The programs of histfs-library(7) that Dask spreads over processes, on an export and without."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

from histfs.simulator import Simulator, SimulatorSettings

pytest.importorskip("distributed")
pytest.importorskip("fsspec")

PAGE = Path(__file__).parents[2] / "man" / "histfs-library.7"
WORDS, LOUDNESS = (
    block.replace(r"\-", "-").replace(r"\e", "\\")
    for block in re.findall(r"\n\.Bd -literal.*?\n(.*?)\.Ed\n", PAGE.read_text(), re.DOTALL)
    if "dask" in block
)
ITEMS = 16
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def simulator(monkeypatch, tmp_path):
    with Simulator(SimulatorSettings(items=ITEMS, days=40)) as running:
        for name, value in {
            "HISTFS_BASE_URL": running.base_url,
            "HISTFS_CACHE_DIR": str(tmp_path / "cache"),
            "ELEVENLABS_API_KEY": running.api_key,
        }.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def program(tmp_path):
    """Run a program of the page, and return the numbers that it prints, by voice."""

    def run(source, url):
        path = tmp_path / "program.py"
        path.write_text(source)
        done = subprocess.run(
            [sys.executable, path, url], capture_output=True, text=True, env=os.environ
        )
        assert done.returncode == 0, done.stderr[-3000:]
        lines = (line.split(maxsplit=1) for line in done.stdout.splitlines())
        return {voice: float(number.replace(",", "")) for number, voice in lines}

    return run


@pytest.fixture
def export(run, simulator):
    """Export the history to a folder or a URL, and return that."""

    def export(url):
        assert run("export", url, key=simulator.api_key).status == 0
        return url

    return export


def voices(simulator):
    """The items of each voice; a dialogue belongs to its first one."""
    found = {}
    for item in simulator.library.ids():
        fields = simulator.library.item(item)
        first = next(iter(fields.get("dialogue") or [fields]))
        found.setdefault(first["voice_name"], []).append(item)
    return found


def words(simulator, item):
    fields = simulator.library.item(item)
    parts = fields.get("dialogue") or [fields]
    return sum(len(part["text"].split()) for part in parts)


def loudness(simulator, item):
    command = ["ffmpeg", "-i", "-", "-filter_complex", "ebur128", "-f", "null", "-"]
    done = subprocess.run(
        command, input=bytes(simulator.library.clip(item)), capture_output=True, check=True
    )
    return float(done.stderr.split(b"I:")[-1].split()[0])


def test_the_words_of_each_voice_by_an_export_in_a_bucket(program, export, bucket, simulator):
    assert program(WORDS, export(f"s3://{bucket.name}/voices")) == {
        voice: sum(words(simulator, item) for item in items)
        for voice, items in voices(simulator).items()
    }


def mean_loudness(simulator, items):
    return round(mean(loudness(simulator, item) for item in items), 1)


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is missing")


@needs_ffmpeg
def test_the_loudness_of_each_voice_by_an_export(program, export, simulator, tmp_path):
    assert program(LOUDNESS, export(str(tmp_path / "export"))) == {
        voice: mean_loudness(simulator, items) for voice, items in voices(simulator).items()
    }


@needs_ffmpeg
def test_the_loudness_of_each_folder_of_a_voice_without_an_export(program, run, simulator):
    found = program(LOUDNESS, "histfs://")
    assert simulator.counts["GET /v1/history/{id}/audio"] == ITEMS
    folders = {}
    for line in run("ls", "--json", "by-voice/*", key=simulator.api_key).out.splitlines():
        row = json.loads(line)
        folders.setdefault(row["path"].split("/")[1], []).append(row["id"])
    assert found == {name: mean_loudness(simulator, items) for name, items in folders.items()}
