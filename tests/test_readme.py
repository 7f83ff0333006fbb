"""What README.md shows to authors of plugins works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from histfs.config import tomllib
from histfs.core.plugin_isolation import missing_members
from histfs.core.source import Source
from tests.support.mounts import command
from tests.support.packages import add_package

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def section():
    text = README.read_text(encoding="utf-8")
    return re.search(r"^## Write your own\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def blocks(section):
    return re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def points(section):
    (block,) = re.findall(r"^```toml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return tomllib.loads(block)["project"]["entry-points"]


@pytest.fixture
def package(tmp_path, blocks, points):
    add_package(tmp_path, "my_package", points, "\n\n".join(blocks))
    return tmp_path


def run(line, package):
    env = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(line, env=env, cwd=package, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_view_and_a_file_take_five_lines_each_and_all_of_it_thirty(blocks):
    view, file, *_ = ([line for line in block.splitlines() if line] for block in blocks)
    assert (len(view), len(file)) == (5, 5)
    assert sum(bool(line) for block in blocks for line in block.splitlines()) <= 30


def test_what_is_shown_keeps_the_contract_that_is_shown_with_it(package):
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "my_package.py"]
    assert re.search(r"^\d\d passed", run(line, package), re.MULTILINE)


def test_what_is_registered_is_found(package, points):
    found = run(command("plugins"), package)
    for group, names in points.items():
        kind = group.removeprefix("histfs.").removesuffix("s")
        for name in names:
            assert re.search(rf"^{kind} +{name} +my_package 1.5 +used by default$", found, re.M)


def test_the_sketch_of_a_source_has_all_that_a_source_has(blocks):
    names = {}
    for block in blocks[:3]:
        exec(block, names)
    assert missing_members(names["Recordings"](None), Source) == []
