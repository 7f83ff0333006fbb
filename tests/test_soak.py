"""The long run, for as long as a suite of tests has time; scripts/soak runs it for longer."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bindings import BINDINGS, missing

MINUTES = os.environ.get("HISTFS_SOAK_MINUTES", "2")
#: Seconds that its beginning and its end may take beside that, on a machine that is busy.
BESIDE = 420


@pytest.mark.fuse
@pytest.mark.timeout(float(MINUTES) * 60 + BESIDE + 60)
def test_while_everything_goes_wrong_nothing_is_lost_or_wrong_or_left_over():
    usable = [name for name in BINDINGS if not missing(name)]
    if not usable and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip(f"{BINDINGS[0]}: {missing(BINDINGS[0])}")
    # One of them, and other choices each time: what it prints says how to do the same again.
    command = [sys.executable, "-m", "scripts.soaking", MINUTES, "--binding", random.choice(usable)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    )
    try:
        told, _ = process.communicate(timeout=float(MINUTES) * 60 + BESIDE)
    finally:
        process.terminate()  # it then unmounts what it has mounted
        process.wait(60)
    print(told)  # pytest shows it with the failure
    assert process.returncode == 0
