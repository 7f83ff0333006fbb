"""`histfs plugins`: what there is, what is used, and why something can't be."""

from __future__ import annotations

import json

import pytest

from histfs import __version__
from tests.support.packages import add_package


@pytest.fixture
def listed(spawn, tmp_path):
    """Run it, where a package is installed beside histfs; without a key."""
    points = {
        "histfs.views": {"by-mood": "foreign:view", "by-date": "foreign:view"},
        "histfs.files": {"mood": "foreign:not_there"},
    }
    add_package(tmp_path, "foreign", points, "def view(zone): ...")

    def listed(*arguments):
        done = spawn("plugins", *arguments, PYTHONPATH=str(tmp_path), ELEVENLABS_API_KEY="")
        assert (done.status, done.err) == (0, "")
        return done.out.splitlines()

    return listed


def test_each_is_a_line_and_a_broken_one_says_why(listed):
    columns = [line.split(maxsplit=4) for line in listed()]
    uses = {(kind, name, package): use for kind, name, package, _, use in columns}
    assert uses["source", "history", "histfs"] == "used by default"
    assert uses["view", "by-voice", "histfs"] == "used by default"
    assert uses["view", "by-model", "histfs"] == "used when chosen"
    assert uses["view", "by-mood", "foreign"] == "used by default"
    assert uses["view", "by-date", "foreign"] == f"left out: histfs {__version__} has this name"
    assert uses["file", "mood", "foreign"].startswith("left out: AttributeError: ")


def test_programs_get_an_object_for_each(listed):
    found = [json.loads(line) for line in listed("--json")]
    assert len(found) == len(listed())
    by_name = {(row["name"], row["package"]): row for row in found}
    assert by_name["summary", "histfs"] == {
        "kind": "file", "name": "summary", "package": "histfs", "version": __version__,
        "default": True, "error": None,
    }  # fmt: skip
    assert by_name["mood", "foreign"]["default"] is False
    assert "not_there" in by_name["mood", "foreign"]["error"]
    assert by_name["mood", "foreign"]["version"] == "1.5"
