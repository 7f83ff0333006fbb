"""The soak, for as long as a test suite has time; scripts/soak runs it for longer."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bindings import BINDINGS, missing

MINUTES = os.environ.get("HISTFS_SOAK_MINUTES", "2")
#: Seconds that its start and its final checks may take, on a busy machine.
OVERHEAD = 420


@pytest.mark.fuse
@pytest.mark.timeout(float(MINUTES) * 60 + OVERHEAD + 60)
def test_no_fault_loses_or_damages_an_item_or_leaks_a_resource():
    usable = [name for name in BINDINGS if not missing(name)]
    if not usable and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip(f"{BINDINGS[0]}: {missing(BINDINGS[0])}")
    # With another seed each time; it prints the seed, which repeats the choices.
    command = [sys.executable, "-m", "scripts.soaking", MINUTES, "--binding", random.choice(usable)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    )
    try:
        printed, _ = process.communicate(timeout=float(MINUTES) * 60 + OVERHEAD)
    finally:
        process.terminate()  # it then unmounts what it has mounted
        process.wait(60)
    print(printed)  # pytest shows it with the failure
    assert process.returncode == 0
