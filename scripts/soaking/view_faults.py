"""Installing a view plugin that fails on demand, and making it fail.

Threads: `inject` and `clear` replace the control file atomically; the mounts read it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

from scripts.soaking import faulty_view

_PACKAGE = "soak_faulty_view"


class ViewFaults:
    """Makes the view ``by-fault`` of all mounts fail.

    Args:
        directory: where to install the plugin; is made.
    """

    def __init__(self, directory: Path) -> None:
        metadata = directory / f"{_PACKAGE}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {_PACKAGE}\nVersion: 1.0\n"
        )
        view = faulty_view.FaultyView
        (metadata / "entry_points.txt").write_text(
            f"[histfs.views]\n{view.name} = {_PACKAGE}:{view.__name__}\n"
        )
        shutil.copy(faulty_view.__file__, directory / f"{_PACKAGE}.py")
        self._control = directory / "fault.json"
        self.environment = {
            "PYTHONPATH": str(directory), faulty_view.CONTROL_VARIABLE: str(self._control)
        }  # fmt: skip

    def inject(self, rng: random.Random) -> str:
        """Make one method hang or raise from now on, and return what it does."""
        method = rng.choice(faulty_view.METHODS)
        action = rng.choice((faulty_view.HANG, rng.choice(tuple(faulty_view.EXCEPTIONS))))
        new = self._control.with_suffix(".new")
        new.write_text(json.dumps({"method": method, "action": action}))
        os.replace(new, self._control)  # noqa: PTH105
        return f"{method}: {action}"

    def clear(self) -> None:
        """Let all methods work again, and those that hang return."""
        self._control.unlink(missing_ok=True)
