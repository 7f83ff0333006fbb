"""Docstrings and comments name modules, classes and exceptions that the code has."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "histfs"
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in PACKAGE.rglob("*.py")}
MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in TREES
}


def names() -> set[str]:
    """Return every identifier of the code."""
    found = set(dir(builtins)) | {module.rpartition(".")[2] for module in MODULES}
    for tree in TREES.values():
        for node in ast.walk(tree):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    found.add(name)
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                    found.add(name)
                case ast.alias(name=name):
                    found.add(name.rpartition(".")[2])
    return found


NAMES = names()


def test_names_in_backticks_are_those_of_the_code():
    unknown = set()
    for file in TREES:
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"(?<!`)`([A-Za-z_][\w.]*)(?:\(\))?`(?!`)", text):
            parts = name.removeprefix("histfs.").split(".")
            if not all(part in NAMES for part in parts):
                unknown.add((file.name, name))
    # Names of others: a placeholder, and a field of libfuse.
    assert unknown <= {("__init__.py", "histfs.cli.NAME"), ("binding.py", "fuse_config.intr")}


def test_raised_exceptions_are_those_of_the_code():
    unknown = set()
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            raises = re.search(r"Raises:\n((?:    .*\n?)+)", ast.get_docstring(node) or "")
            for line in raises[1].splitlines() if raises else ():
                if listed := re.match(r"    ([A-Z]\w+(?:, [A-Z]\w+)*):", line):
                    unknown |= {
                        (file.name, node.name, name)
                        for name in listed[1].split(", ")
                        if name not in NAMES
                    }
    assert unknown == set()
