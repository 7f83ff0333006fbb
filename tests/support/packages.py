"""Packages with plugins, put where Python finds them, without an installer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def add_package(
    directory: Path, name: str, points: Mapping[str, Mapping[str, str]], module: str = ""
) -> None:
    """Put a package of one module, called as the package is, into a directory.

    Args:
        directory: stands, or is to stand, on the path of imports.
        name: of the package.
        points: its entry points: values by name, by group.
        module: the code.
    """
    metadata = directory / f"{name}-1.5.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = []
    for group, values in points.items():
        lines += [f"[{group}]", *(f"{point} = {value}" for point, value in values.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (directory / f"{name}.py").write_text(module)
