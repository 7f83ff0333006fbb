"""The soak test: 2 minutes, 10 with ``--all``; scripts/soak runs it for longer."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bindings import BINDINGS, available, missing

MINUTES = os.environ.get("HISTFS_SOAK_MINUTES", "2")
#: Seconds that its start and its end may take in addition, on a busy machine.
BESIDE = 420


@pytest.mark.fuse
@pytest.mark.timeout(float(MINUTES) * 60 + BESIDE + 60)
def test_while_everything_goes_wrong_nothing_is_lost_or_wrong_or_left_over(request):
    available(BINDINGS[0])
    bindings = BINDINGS if request.config.getoption("--all") else BINDINGS[:1]
    usable = [name for name in bindings if not missing(name)]
    # Other choices each time; the output says how to repeat them.
    command = [sys.executable, "-m", "scripts.soaking", MINUTES, "--binding", random.choice(usable)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    )
    try:
        output, _ = process.communicate(timeout=float(MINUTES) * 60 + BESIDE)
    finally:
        process.terminate()  # it then unmounts what it has mounted
        process.wait(60)
    print(output)  # pytest shows it with the failure
    assert process.returncode == 0
