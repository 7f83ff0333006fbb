from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import responses

from histfs.core.secret import Secret
from histfs.sources.elevenlabs.conversations import ConversationSource
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.http_client import HttpClient

BASE = "https://api.example.com"
KEY = "sk_0123456789abcdef0123456789abcdef"


@contextlib.contextmanager
def source_factory(source_class):
    """Yield a factory of sources, which are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(url: str = BASE, key: str = KEY, timeout: float = 10.0):
            source = source_class(HttpClient(url, Secret(key), timeout, connections=2))
            stack.callback(source.close)
            return source

        yield make


@pytest.fixture
def make_history() -> Iterator[Callable[..., HistorySource]]:
    """A factory of history sources, which are closed at the end."""
    with source_factory(HistorySource) as make:
        yield make


@pytest.fixture
def make_conversations() -> Iterator[Callable[..., ConversationSource]]:
    """A factory of conversation sources, which are closed at the end."""
    with source_factory(ConversationSource) as make:
        yield make


@pytest.fixture
def history(make_history) -> HistorySource:
    """A history source whose requests are answered by `answers`."""
    return make_history()


@pytest.fixture
def conversations(make_conversations) -> ConversationSource:
    """A conversation source whose requests are answered by `answers`."""
    return make_conversations()


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    """The mocked responses of the server at `BASE`; nothing leaves this process."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def live(simulator, make_history) -> HistorySource:
    """A source of the simulator's history, over real HTTP."""
    return make_history(simulator.base_url, simulator.api_key)


@pytest.fixture
def raw_server() -> Iterator[Callable[[bytes], str]]:
    """A function that starts a server of fixed bytes for every request, and returns its URL."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes) -> str:
            listener = socket.create_server(("127.0.0.1", 0))

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    with connection, contextlib.suppress(ConnectionError):
                        request = b""
                        while b"\r\n\r\n" not in request and (piece := connection.recv(65536)):
                            request += piece
                        connection.sendall(answer)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()

            def stop() -> None:
                listener.shutdown(socket.SHUT_RDWR)
                listener.close()
                thread.join()

            stack.callback(stop)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start
