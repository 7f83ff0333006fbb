"""What histfs-plugins(7) shows works as it stands there, and names what the code has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from histfs.config import tomllib
from histfs.core import errors
from histfs.core.source import Query, Traits
from histfs.core.source_context import SourceContext
from tests.support.mounts import command
from tests.support.packages import add_package

PAGE = (Path(__file__).parent.parent / "man" / "histfs-plugins.7").read_text(encoding="utf-8")


def _literal(block: str) -> str:
    for escape, character in {r"\-": "-", r"\(aq": "'", r"\(ha": "^", r"\&": ""}.items():
        block = block.replace(escape, character)
    return block.replace(r"\e", "\\")


BLOCKS = [
    _literal(block)
    for block in re.findall(r"^\.Bd -literal.*?\n(.*?\n)\.Ed$", PAGE, re.DOTALL | re.MULTILINE)
]
CODE = [block for block in BLOCKS if not block.startswith("[")]


@pytest.fixture
def points():
    (block,) = (block for block in BLOCKS if block.startswith("["))
    return tomllib.loads(block)["project"]["entry-points"]


@pytest.fixture
def package(tmp_path, points):
    add_package(tmp_path, "my_package", points, "\n\n".join(CODE))
    return tmp_path


def run(line, package, status=0, **env):
    done = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": str(package), **env}, cwd=package,
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_a_view_and_a_file_take_five_lines_each():
    view, file, *_ = ([line for line in block.splitlines() if line] for block in CODE)
    assert (len(view), len(file)) == (5, 5)


def test_the_code_keeps_the_contracts_that_are_shown_with_it(package, tmp_path):
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "my_package.py"]
    # Without a place of its own it would remove the directories of earlier runs first.
    line += ["--basetemp", tmp_path / "base"]
    assert re.search(r"^\d\d passed", run(line, package), re.MULTILINE)


def test_what_is_registered_is_found(package, points):
    found = run(command("plugins"), package)
    for group, names in points.items():
        kind = group.removeprefix("histfs.").removesuffix("s")
        for name in names:
            assert re.search(rf"^{kind} +{name} +my_package 1.5 +used by default$", found, re.M)


def test_the_service_of_the_source_has_a_key_of_its_own(package, tmp_path):
    line = command("ls", "--sources", "notes", "--cache-dir", tmp_path / "cache", "by-weekday")
    assert run(line, package, EXAMPLE_KEY="example-key-0123456789") == "Thursday\n"
    run(line, package, status=77)


@pytest.mark.parametrize("described", [Query, Traits, SourceContext])
def test_the_page_names_each_field(described):
    section = PAGE.split(f".Vt {described.__name__}", 1)[1]
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^\.It Va (.*)$", section, re.MULTILINE))))
    assert {field.name for field in fields(described)} <= named


def test_the_page_names_no_error_that_there_is_not():
    assert set(re.findall(r"^\.Er (\w+)", PAGE, re.MULTILINE)) <= set(vars(errors))
