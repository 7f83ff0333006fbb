"""Imports point inward: cli → mounting → {fuse, sources, catalog, audio, trash} → core → stdlib."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import histfs

PACKAGE = Path(histfs.__file__).parent

#: For each layer, or module beside the layers, the others that it may import.
MAY_IMPORT = {
    "core": set(),
    "settings": {"core"},
    "keys": {"core", "settings"},
    "key_store": {"core", "settings", "keys"},
    "config": {"core", "settings"},
    "programs": {"core", "settings", "config"},
    "logs": {"core"},
    "status": {"core"},
    "plugins": {"core"},
    "background": {"core"},
    "clip_address": set(),
    "loopback_peer": set(),
    "clip_server": {"core", "clip_address", "loopback_peer"},
    "systemd": {"core"},
    "hangup": {"core"},
    "audio": {"core"},
    "catalog": {"core"},
    "trash": {"core"},
    "fuse": {"core"},
    "sources": {"core", "__version__"},
    "page": {"core", "sources"},
    "simulator": {"__version__"},
    "testing": {"core"},
    "mounting": {
        "core", "settings", "audio", "catalog", "trash", "fuse", "sources", "simulator", "status",
        "page", "plugins", "keys", "programs", "systemd", "hangup",
        "__version__",
    },
    "exporting": {
        "core", "catalog", "audio", "mounting", "settings", "plugins", "account_settings",
    },
    "serving": {"core", "mounting", "page", "loopback_peer"},
    "cli": {
        "core", "settings", "audio", "catalog", "trash", "fuse", "sources", "simulator", "mounting",
        "exporting", "serving", "page", "logs", "background", "status", "keys", "key_store",
        "plugins", "clip_address", "clip_server",
        "config", "programs", "__version__",
    },
    "account_settings": {
        "core", "settings", "config", "keys", "key_store", "plugins", "sources", "mounting",
    },
    "fsspec_filesystem": {"api", "account_settings", "core", "mounting"},
    "api": {"mounting", "account_settings", "settings"},
    "mount_helper": {"cli"},
    "__main__": {"cli"},
}  # fmt: skip

FUSE_LIBRARIES = {"fuse", "mfusepy"}
#: What imports a module by its name, or looks for one.
DYNAMIC = {"import_module", "__import__", "find_spec", "find_loader", "run_module"}


class Import(NamedTuple):
    """An import: the module that holds it, and the full name of what it imports."""

    module: str
    name: str

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]

    @property
    def layer(self) -> str:
        """The layer that it is in."""
        return [*self.module.split("."), "__init__"][1]

    @property
    def other_room(self) -> str | None:
        """The layer that it reaches into, None for a library or for the layer itself."""
        parts = self.name.split(".")
        if parts[0] != "histfs":
            return None
        return parts[1] if parts[1:] and parts[1] != self.layer else None


# Not when it is imported: each worker imports it, and one runs its tests.
@functools.cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of every module, by its name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = ["histfs", *file.relative_to(PACKAGE).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(file.read_text(encoding="utf-8"), str(file))
    return found


def dynamic_name(node: ast.AST) -> ast.expr | None:
    """Return what a call imports by name; None when it is no such call."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return node.args[0] if name in DYNAMIC else None


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the full names that a statement or a call imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(by_name := dynamic_name(node), ast.Constant):
        yield str(by_name.value)


@functools.cache
def imports() -> Sequence[Import]:
    """Return every import of every module."""
    return [
        Import(module, name)
        for module, tree in trees().items()
        for node in ast.walk(tree)
        for name in names_in(node)
    ]


def importers(*libraries: str) -> set[str]:
    return {found.module for found in imports() if found.library in libraries}


def test_every_room_has_its_place():
    layers = {module.split(".")[1] for module in trees() if "." in module}
    assert layers <= set(MAY_IMPORT), "say above what the new layer may import"


def test_the_order_of_the_rooms_has_no_circle():
    left = {layer: set(others) - {"__version__"} for layer, others in MAY_IMPORT.items()}
    while left:
        free = {layer for layer, others in left.items() if not others & left.keys()}
        assert free, f"a circle: {left}"
        left = {layer: others for layer, others in left.items() if layer not in free}


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_imports_point_inward(layer):
    reached = {(i.module, i.other_room) for i in imports() if i.layer == layer and i.other_room}
    assert {pair for pair in reached if pair[1] not in MAY_IMPORT[layer]} == set()


@pytest.mark.parametrize("layer", ["core", "simulator"])
def test_a_room_that_stands_on_the_standard_library_alone(layer):
    libraries = {(i.module, i.library) for i in imports() if i.layer == layer}
    assert libraries
    assert {
        (module, library)
        for module, library in libraries
        if library != "histfs" and library not in sys.stdlib_module_names
    } == set()


def test_the_core_uses_neither_sockets_nor_sql():
    outside = {"sqlite3", "socket", "http", "urllib", "ssl", "subprocess", "ctypes"}
    assert {i for i in imports() if i.layer == "core" and i.library in outside} == set()


def test_the_fuse_library_is_imported_in_the_binding_alone():
    assert importers(*FUSE_LIBRARIES) <= {"histfs.fuse.binding"}


def test_pyarrow_is_imported_for_parquet_alone():
    assert importers("pyarrow") == {"histfs.exporting.row_files"}


def test_fsspec_is_imported_by_its_face_and_for_exports_alone():
    assert importers("fsspec") == {"histfs.fsspec_filesystem", "histfs.exporting.bucket"}


def test_the_extra_of_serve_is_imported_by_two_modules_alone():
    assert importers("wsgidav", "cheroot") == {"histfs.serving.dav", "histfs.serving.server"}


def test_dask_is_imported_for_clusters_alone():
    assert importers("distributed", "dask") == {
        "histfs.exporting.cluster", "histfs.exporting.cluster_worker",
    }  # fmt: skip


def test_modules_are_imported_by_a_computed_name_in_the_binding_and_the_command_table_alone():
    computed = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if (name := dynamic_name(node)) is not None and not isinstance(name, ast.Constant)
    }
    assert computed == {"histfs.fuse.binding", "histfs.cli.command_group"}


def test_pytest_is_needed_by_those_who_test_alone():
    found = importers("pytest", "_pytest")
    assert found
    assert {module for module in found if not module.startswith("histfs.testing")} == set()


def test_requests_is_imported_in_the_client_and_its_connections_alone():
    assert importers("requests", "urllib3", "httpx", "aiohttp") == {
        "histfs.sources.elevenlabs.http_adapter",
        "histfs.sources.elevenlabs.http_client",
        "histfs.sources.elevenlabs.http_connections",
    }


def test_sqlite_is_imported_in_the_catalog_alone():
    found = importers("sqlite3")
    assert found
    assert {module for module in found if not module.startswith("histfs.catalog.")} == set()


def code_lines(function: ast.FunctionDef, source: list[str]) -> int:
    """Count a function's lines of code, without its docstring, comments and empty lines."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    lines = source[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)


def test_operations_methods_are_short():
    file = PACKAGE / "fuse" / "operations.py"
    source = file.read_text(encoding="utf-8").splitlines()
    (operations,) = (
        node
        for node in trees()["histfs.fuse.operations"].body
        if isinstance(node, ast.ClassDef) and node.name == "Operations"
    )
    lengths = {
        node.name: code_lines(node, source)
        for node in operations.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")
    }
    callbacks = {name: n for name, n in lengths.items() if not name.startswith("_")}
    assert {"getattr", "readdir", "open", "read", "unlink"} <= set(callbacks)
    assert {name: n for name, n in callbacks.items() if n > 8} == {}
