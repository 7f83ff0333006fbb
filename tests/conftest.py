"""What every test stands on: a clean environment, a simulator, and a watch on the log."""

from __future__ import annotations

import logging
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.bindings import BINDINGS, missing

#: Packages of their own, which are installed to be tested (test_examples.py).
collect_ignore = ["examples"]

# On a machine that does other things, too, an example may take any time, and so may making it.
settings.register_profile("searching", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: a change that breaks nothing breaks no test. To look for others:
# pytest --hypothesis-profile searching
settings.register_profile("steady", settings.get_profile("searching"), derandomize=True)
settings.load_profile("steady")


# A shell that runs this in the background (`scripts/test &`) has SIGINT ignored, and the processes
# that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that the other tests run beside it."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory, monkeypatch):
    """Keep the tests away from the user's own settings, caches and keys."""
    for name in list(os.environ):
        if name.startswith("HISTFS_") and name != "HISTFS_REQUIRE_FUSE":
            monkeypatch.delenv(name)
    for name in ("ELEVENLABS_API_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))


@pytest.fixture(autouse=True)
def quiet_log(caplog):
    """Fail a test that logs an error: whatever went wrong on purpose is a warning at most."""
    yield
    for when in ("setup", "call"):
        for record in caplog.get_records(when):
            if record.levelno >= logging.ERROR or record.exc_info:
                pytest.fail(f"logged: {record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture
def simulator():
    """An API with 60 items."""
    with Simulator(SimulatorSettings(items=60, days=20)) as running:
        yield running


@pytest.fixture(params=BINDINGS)
def binding(request):
    """Each FUSE library in turn."""
    reason = missing(request.param)
    if reason and os.environ.get("HISTFS_REQUIRE_FUSE") == "1":
        pytest.fail(f"{request.param} is required and can't be used: {reason}")
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    return request.param
