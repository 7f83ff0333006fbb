"""litmus, the tests of WebDAV: those that read. What they write first, the test writes for them."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading

import pytest
from cheroot import wsgi

from histfs.core.times import Zone
from histfs.mounting import DirectTree
from histfs.serving.access import PEER_UID
from histfs.serving.server import ServeOptions, application
from histfs.serving.wsgi import path_of
from tests.support.static_filesystem import StaticFilesystem

#: What litmus reads; its other tests are of COPY, MOVE, LOCK, PROPPATCH and errors of writing.
READING = {
    "basic": ["options", "put_get", "put_get_utf8_segment"],
    "props": ["propfind_invalid", "propfind_invalid2", "propfind_d0"],
    "http": ["expect100"],
}

#: The name of a test, perhaps with a warning, such as that of a server without locks.
_RESULT = re.compile(r"\d+\. (\w+)\.+ (?:WARNING[^\n]*\n\s*\.+ )?(pass|FAIL|SKIPPED)")


class Prepared:
    """The server over a tree to which litmus can write. A WSGI application."""

    def __init__(self):
        self.content: dict = {}
        self._app = None

    def __call__(self, environ, start_response):
        environ[PEER_UID] = None
        *above, name = path_of(environ).strip("/").split("/")
        method, folder = environ["REQUEST_METHOD"], self.content
        if method in ("MKCOL", "PUT", "DELETE"):
            for each in above:
                folder = folder.get(each)
                if not isinstance(folder, dict):
                    return self._answer(start_response, "409 Conflict")
            if method == "DELETE" and name not in folder:
                return self._answer(start_response, "404 Not Found")
            if method == "MKCOL" and name in folder:
                return self._answer(start_response, "405 Method Not Allowed")
            if method == "DELETE":
                del folder[name]
                return self._answer(start_response, "204 No Content")
            length = int(environ.get("CONTENT_LENGTH") or 0)
            folder[name] = {} if method == "MKCOL" else environ["wsgi.input"].read(length)
            return self._answer(start_response, "201 Created")
        tree = DirectTree(StaticFilesystem(self.content), Zone("UTC"), 5.0, lambda *_: None)
        return application(tree, ServeOptions("127.0.0.1", 0))(environ, start_response)

    @staticmethod
    def _answer(start_response, status):
        start_response(status, [("Content-Length", "0")])
        return []


@pytest.fixture
def url():
    server = wsgi.Server(("127.0.0.1", 0), Prepared(), numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"http://127.0.0.1:{server.bind_addr[1]}/"
    server.stop()
    thread.join()


@pytest.mark.parametrize("suite", READING)
def test_reading(suite, url, tmp_path):
    if shutil.which("litmus") is None:
        pytest.skip("litmus is not installed")
    done = subprocess.run(
        ["litmus", "-k", url], env={"TESTS": suite, "PATH": "/usr/bin:/bin"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    results = dict(_RESULT.findall(done.stdout))
    assert {name: results.get(name) for name in READING[suite]} == dict.fromkeys(
        READING[suite], "pass"
    ), done.stdout
