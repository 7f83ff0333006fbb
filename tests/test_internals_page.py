"""histfs-internals(7) names files, caches and locks that the code has, and all of its caches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "histfs"
PAGE = (ROOT / "man" / "histfs-internals.7").read_text(encoding="utf-8")

#: A line of code that makes a cache, or a function with one: the name stands before or below it.
CACHE = re.compile(
    r"\b(LRUCache|TTLCache|GenerationalCache)\[|\blru_cache\(|\bfunctools\.cache\b|= cached\("
)


def section(name: str) -> str:
    return PAGE.split(f".Sh {name}\n", 1)[1].split("\n.Sh ", 1)[0]


def caches() -> set[tuple[str, str]]:
    """Return the file and the name of each cache in the code."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        path = file.relative_to(PACKAGE).as_posix()
        if path.startswith(("simulator/", "testing/")):
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if not CACHE.search(line) or line.lstrip().startswith(("#", '"', "from", "import")):
                continue
            if line.lstrip().startswith("@"):
                name = re.search(r"def (\w+)", lines[number + 1])
            else:
                name = re.search(r"(\w+)(?:: [^=]*)? =", line)
            if name is not None:
                found.add((path, name[1]))
    return found


def test_each_file_of_the_page_is_there():
    named = set(re.findall(r"[\w/]+\.py", PAGE))
    there = [*PACKAGE.rglob("*.py"), *ROOT.glob("tests/*.py")]
    known = {str(file.relative_to(PACKAGE)) for file in there if PACKAGE in file.parents}
    known |= {str(file.relative_to(ROOT)) for file in there}
    assert {name for name in named if name not in known} == set()


def test_the_table_has_each_cache_of_the_code():
    listed = re.findall(r"^\.It Pa histfs/(\S+) Va (\w+)$", section("CACHES"), re.MULTILINE)
    missing = caches() - set(listed)
    # A cache that a constructor is given has its name where it is kept.
    missing -= {("mounting/mounted_source.py", "listings"), ("catalog/catalog.py", "LRUCache")}
    assert missing == set()
    for path, name in listed:
        text = (PACKAGE / path).read_text(encoding="utf-8")
        assert re.search(rf"\b{name}\b", text), f"{path} has no {name}"


@pytest.mark.parametrize(
    "name", re.findall(r"^\.It (list.*|[a-z]+)$", section("THREADS"), re.MULTILINE)
)
def test_each_kind_of_thread_is_made_somewhere(name):
    code = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    for each in name.split(", "):
        assert each in {"libfuse", "plugins"} or f'"{each}"' in code, each
