from __future__ import annotations

import contextlib
import re
import subprocess
from urllib.parse import quote, unquote

import pytest
import requests

pytest.importorskip("wsgidav")
pytest.importorskip("cheroot")

import histfs
from histfs.core.name_forms import is_audio_name
from histfs.serving.server import ServeOptions, serving
from histfs.simulator import Simulator, SimulatorSettings

DEPTH_0, DEPTH_1 = {"Depth": "0"}, {"Depth": "1"}


class Client:
    """Requests to a server, by paths of the tree."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, method: str, path: str = "", **more: object) -> requests.Response:
        url = self.url + quote(path.lstrip("/"))
        more = {"allow_redirects": False, "timeout": 30, **more}
        return self._session.request(method, url, **more)

    def get(self, path: str = "", **headers: str) -> requests.Response:
        return self.ask("GET", path, headers=headers)

    def list(self, path: str = "") -> dict[str, str]:
        """Return the response of each entry of a directory, as text, by its path."""
        answer = self.ask("PROPFIND", path, headers=DEPTH_1)
        assert answer.status_code == 207, answer.text
        found = re.findall(r"<D:response>(.*?)</D:response>", answer.text, re.DOTALL)
        listed = {unquote(re.search("<D:href>(.*?)</D:href>", each)[1]): each for each in found}
        own = f"/{path.strip('/')}/".replace("//", "/")
        assert own in listed
        del listed[own]
        return listed


def size_in(response: str) -> int | None:
    found = re.search("<D:getcontentlength>([0-9]+)<", response)
    return found and int(found[1])


@pytest.fixture
def formats():
    """What the items tell of the formats of their audio."""
    return "honest"


@pytest.fixture
def audio_head():
    """Whether the API tells sizes of audio without sending it."""
    return False


@pytest.fixture
def simulator(formats, audio_head):
    """A server with 60 items."""
    settings = SimulatorSettings(items=60, days=20, formats=formats, audio_head=audio_head)
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def tree(simulator, tmp_path, no_pauses):
    options = {
        "api_key": simulator.api_key,
        "base_url": simulator.base_url,
        "cache_dir": str(tmp_path / "cache"),
        "trash": str(tmp_path / "trash"),
        "timezone": "UTC",
        "timeout": 10,
    }
    with histfs.open(**options) as opened:
        yield opened


@pytest.fixture
def serve(tree):
    """Serve the tree, and return a client."""
    with contextlib.ExitStack() as stack:

        def serve(front=None, **options) -> Client:
            chosen = ServeOptions(**{"address": "127.0.0.1", "port": 0, **options})
            return Client(stack.enter_context(serving(tree, chosen, front)))

        yield serve


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def item(tree):
    """The directory of the newest item, by its voice: a link is on its way."""
    path = "/by-date"
    for _ in range(4):
        path = f"{path}/{sorted(tree.ls(path))[-1]}"
    name = path.rpartition("/")[2]
    voices = [voice for voice in tree.ls("/by-voice") if name in tree.ls(f"/by-voice/{voice}")]
    return f"/by-voice/{voices[0]}/{name}"


@pytest.fixture
def audio(tree, item):
    """The path of its audio."""
    (name,) = [name for name in tree.ls(item) if is_audio_name(name)]
    return f"{item}/{name}"


@pytest.fixture
def certificate(tmp_path):
    """The files of a certificate of 127.0.0.1, and of its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    line += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*line, "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key
