"""Fixtures of every test (a clean environment, a simulator, a check of the log), and two tiers.

By default each test of a mount runs on one FUSE binding. ``--all`` runs them on both, with a longer
soak and more examples of hypothesis.
"""

from __future__ import annotations

import logging
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from histfs import keys
from histfs.simulator import Simulator, SimulatorSettings
from histfs.sources import request_policies
from histfs.sources.elevenlabs.http_connections import BoundedRetry
from tests.support import chromium
from tests.support.bindings import BINDINGS, available

#: Packages of their own, which are installed to be tested (test_examples.py).
collect_ignore = ["examples"]

#: What ``--all`` makes of the examples of each hypothesis test, their timeout in seconds, and the
#: minutes of the soak.
EXAMPLES, EXAMPLES_TIMEOUT, SOAK_MINUTES = 500, 1800, "10"

# On a busy machine an example may take any time, and so may generating it.
settings.register_profile("searching", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: a change that breaks nothing breaks no test. To look for others:
# pytest --hypothesis-profile searching
settings.register_profile("steady", settings.get_profile("searching"), derandomize=True)
settings.load_profile("steady")


# A shell that runs this in the background (`scripts/test &`) has SIGINT ignored, and the processes
# that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        help="Both FUSE bindings everywhere, a long soak, more examples.",
    )


def pytest_configure(config):
    if config.getoption("--all"):
        os.environ.setdefault("HISTFS_SOAK_MINUTES", SOAK_MINUTES)


def pytest_collection_modifyitems(config, items):
    """Begin with the longest test; apply the tier."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")
    if config.getoption("--all"):
        for item in items:
            _add_examples(item)
    else:
        dropped = [item for item in items if _is_second_binding(item)]
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if not _is_second_binding(item)]


def _add_examples(item):
    """Raise the number of examples of a hypothesis test, whatever its own settings say."""
    function = getattr(item, "function", None)
    name = "_hypothesis_internal_use_settings"
    if hasattr(function, name):
        setattr(function, name, settings(getattr(function, name), max_examples=EXAMPLES))
    elif isinstance(getattr(item.cls, "settings", None), settings):  # a state machine
        item.cls.settings = settings(item.cls.settings, max_examples=EXAMPLES)
    else:
        return
    item.add_marker(pytest.mark.timeout(EXAMPLES_TIMEOUT))


def _is_second_binding(item):
    """Say whether a test is one that the default tier runs on the first binding alone."""
    chosen = getattr(item, "callspec", None)
    by_itself = any(mark.args[0] == "binding" for mark in item.iter_markers("parametrize"))
    return chosen is not None and chosen.params.get("binding") in BINDINGS[1:] and not by_itself


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory, monkeypatch):
    """Keep the tests away from the user's own settings, caches and keys."""
    _clean_environment(monkeypatch, tmp_path_factory)


@pytest.fixture(scope="module")
def clean_module_environment(tmp_path_factory):
    """Do the same for a mount that the tests of a module share."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _clean_environment(monkeypatch, tmp_path_factory)
        yield


def _clean_environment(monkeypatch, tmp_path_factory):
    for name in list(os.environ):
        if name.startswith("HISTFS_") and name != "HISTFS_REQUIRE_FUSE":
            monkeypatch.delenv(name)
    for name in ("ELEVENLABS_API_KEY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(keys, "_taken", {})
    home = tmp_path_factory.mktemp("home")
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))


@pytest.fixture(autouse=True)
def quiet_log(caplog):
    """Fail a test that logs an error: faults that a test injects are warnings at most."""
    yield
    for when in ("setup", "call"):
        for record in caplog.get_records(when):
            if record.levelno >= logging.ERROR or record.exc_info:
                pytest.fail(f"logged: {record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture
def no_pauses(monkeypatch):
    """Requests of this process are retried as often as otherwise, but at once.

    The pauses are tested with the source.
    """
    monkeypatch.setattr(request_policies, "_PAUSES", (0.0,) * len(request_policies._PAUSES))
    monkeypatch.setattr(BoundedRetry, "sleep", lambda self, response=None: None)


@pytest.fixture
def simulator():
    """An API with 60 items."""
    with Simulator(SimulatorSettings(items=60, days=20)) as running:
        yield running


@pytest.fixture(scope="session", params=BINDINGS)
def binding(request):
    """The FUSE binding: the first, or each in turn with ``--all``."""
    return available(request.param)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A page of a browser that starts once for a module."""
    if chromium.program() is None:
        pytest.skip("Chromium is not installed")
    with chromium.browser(tmp_path_factory.mktemp("chromium")) as page:
        page.emulate(1000, 800)
        yield page
