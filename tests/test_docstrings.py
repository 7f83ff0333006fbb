"""Docstrings and comments name modules, classes and exceptions that the code has."""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections.abc import Set
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "histfs"


# Not when it is imported: each worker imports it, and one runs its tests.
@functools.cache
def trees() -> dict[Path, ast.Module]:
    """Return the syntax tree of every file."""
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")}


@functools.cache
def names() -> Set[str]:
    """Return every identifier of the code."""
    modules = {file.parent.name if file.stem == "__init__" else file.stem for file in trees()}
    found = set(dir(builtins)) | modules
    for tree in trees().values():
        for node in ast.walk(tree):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    found.add(name)
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                    found.add(name)
                case ast.alias(name=name):
                    found.add(name.rpartition(".")[2])
    return found


def test_names_in_backticks_are_those_of_the_code():
    unknown = set()
    for file in trees():
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"(?<!`)`([A-Za-z_][\w.]*)(?:\(\))?`(?!`)", text):
            parts = name.removeprefix("histfs.").split(".")
            if not all(part in names() for part in parts):
                unknown.add((file.name, name))
    # Names of others: a placeholder, and a field of libfuse.
    assert unknown <= {("__init__.py", "histfs.cli.NAME"), ("binding.py", "fuse_config.intr")}


def test_raised_exceptions_are_those_of_the_code():
    unknown = set()
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            raises = re.search(r"Raises:\n((?:    .*\n?)+)", ast.get_docstring(node) or "")
            for line in raises[1].splitlines() if raises else ():
                if listed := re.match(r"    ([A-Z]\w+(?:, [A-Z]\w+)*):", line):
                    unknown |= {
                        (file.name, node.name, name)
                        for name in listed[1].split(", ")
                        if name not in names()
                    }
    assert unknown == set()
