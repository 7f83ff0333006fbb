from collections.abc import Callable, Iterator

import pytest
import requests

from histfs.simulator import Simulator, SimulatorSettings


@pytest.fixture
def reading_key() -> str:
    """A key that may only read."""
    return "may-only-read"


@pytest.fixture
def simulator(reading_key: str) -> Iterator[Simulator]:
    limited = {reading_key: frozenset({"speech_history_read"})}
    with Simulator(SimulatorSettings(items=300, limited_keys=limited)) as running:
        yield running


@pytest.fixture
def ask(simulator: Simulator) -> Iterator[Callable[..., requests.Response]]:
    """Send a request with the account's key: ask("GET", "/v1/history", …)."""
    with requests.Session() as session:
        session.headers["xi-api-key"] = simulator.api_key

        def send(method: str, path: str, **options: object) -> requests.Response:
            options.setdefault("timeout", 5)
            return session.request(method, simulator.base_url + path, **options)

        yield send
