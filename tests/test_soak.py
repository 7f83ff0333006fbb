"""The soak: 2 minutes, 10 with ``--all``; scripts/soak runs it for longer."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from scripts.soaking.model import Model
from tests.support.bindings import BINDINGS, available, missing

MINUTES = os.environ.get("HISTFS_SOAK_MINUTES", "1")
#: Seconds that its start and its final checks may take, on a busy machine.
OVERHEAD = 420


@pytest.mark.fuse
@pytest.mark.timeout(float(MINUTES) * 60 + OVERHEAD + 60)
def test_no_fault_loses_or_damages_an_item_or_leaks_a_resource(request):
    available(BINDINGS[0])
    bindings = BINDINGS if request.config.getoption("--all") else BINDINGS[:1]
    usable = [name for name in bindings if not missing(name)]
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


@pytest.fixture
def model():
    """What the soak knows of three items, with a fault in force."""
    with Simulator(SimulatorSettings(items=3)) as simulator:
        yield Model(simulator.library, lambda: 0.0, 20.0, 20.0, random.Random(0))


def walked(model, failing=None, lacking=None):
    """Have the model check a walk of by-date: a directory fails, or an item is lacking."""
    listed = {}
    for item_id, known in model.items.items():
        path = Path(known.day)
        while path != Path("."):
            listed.setdefault(str(path.parent), set()).add(path.name)
            path = path.parent
        names = listed.setdefault(known.day, set())
        if item_id != lacking:
            names.add(f"time_slug_{item_id}")
    listed = {path: sorted(names) for path, names in listed.items()}
    if failing is not None:
        listed[failing] = errno.EIO
    request = {"operation": "walk", "root": "/mnt", "view": "by-date", "deep": False}
    outcome = {"listed": listed, "began": 1.0, "ended": 1.0, "slowest": [0.0, "listing"]}
    model.check(0, request, None, outcome, down=False)
    return model.violations


def test_a_complete_listing_that_lacks_an_item_of_the_server_is_a_violation(model):
    lost, known = next(iter(model.items.items()))
    assert walked(model) == []
    assert walked(model, failing=known.day, lacking=lost) == []
    [violation] = walked(model, lacking=lost)
    assert f"{lost} is missing in {known.day}" in violation
