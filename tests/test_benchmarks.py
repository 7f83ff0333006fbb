"""`scripts/bench beyond` measures what it says, with few items here."""

from __future__ import annotations

import shutil

import pytest

from scripts.benchmarks import beyond, sound, webdav
from scripts.benchmarks.listeners import missing
from scripts.benchmarks.stage import directory, server


@pytest.mark.timeout(240)
def test_tables_and_reads_are_measured_beside_loops():
    pytest.importorskip("fsspec")
    figures = beyond.table(50, ["jsonl"])
    with server("--items", "3") as api, directory() as root:
        figures += beyond.reads(api, root, 3)
    cases = {figure.case.partition(" ")[0] for figure in figures}
    assert cases == {"table", "first", "cat_file"}
    assert all(figure.value > 0 and figure.peer != 0 for figure in figures)
    assert sum(figure.peer is not None for figure in figures) == 4


def test_listings_by_webdav_are_measured_beside_rclone():
    pytest.importorskip("wsgidav")
    if shutil.which("rclone") is None:
        pytest.skip("rclone is not installed")
    (figure,) = webdav.propfind(50, 1)
    assert figure.value > 0 and figure.peer > 0


@pytest.mark.fuse
@pytest.mark.parametrize("name", ["MPD", "Chromium"])
def test_the_first_sound_of_a_program_that_is_told_what_to_play_is_measured(name):
    if missing(name):
        pytest.skip(f"{name} is not installed")
    with server("--items", "1", "--clip-bytes", "100000") as api:
        assert 0 < sound._told(api, name) < 20
