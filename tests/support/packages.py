"""Create packages with plugins on the import path, without an installer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def add_package(
    directory: Path, name: str, points: Mapping[str, Mapping[str, str]], module: str = ""
) -> None:
    """Create a package with one module of the same name in a directory.

    Args:
        directory: a directory that is, or will be, in ``sys.path``.
        name: the package's name.
        points: its entry points: group to name to value.
        module: the source code of the module.
    """
    metadata = directory / f"{name}-1.5.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = []
    for group, values in points.items():
        lines += [f"[{group}]", *(f"{point} = {value}" for point, value in values.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (directory / f"{name}.py").write_text(module)
