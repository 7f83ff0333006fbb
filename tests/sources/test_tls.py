"""A server is trusted only with a certificate of a trusted authority."""

from __future__ import annotations

import http.server
import json
import shutil
import ssl
import subprocess
import threading

import pytest

from histfs.core.errors import TimedOut, Unreachable
from histfs.core.source import Query
from tests.sources.conftest import BASE
from tests.support.raw_http import RawServer

PAGE = json.dumps({"history": [], "has_more": False}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """Responds with an empty history."""

    def do_GET(self):
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Counts requests; ignores aborted connections."""

    requests = 0

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate of 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", path],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return path


@pytest.fixture
def server(certificate):
    """A server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with Server(("127.0.0.1", 0), Handler) as running:
        running.socket = context.wrap_socket(
            running.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=running.serve_forever, args=[0.05])
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server):
    return f"https://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("bundle", [None, "", "0"])
def test_a_certificate_that_nobody_has_signed_is_not_believed(
    make_history, server, url, monkeypatch, tmp_path, bundle
):
    monkeypatch.chdir(tmp_path)
    if bundle is not None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        monkeypatch.setenv("CURL_CA_BUNDLE", bundle)
    with pytest.raises(Unreachable):
        make_history(url, timeout=2).list(Query())
    assert server.requests == 0


def test_a_ca_bundle_of_the_environment_says_whom_to_believe(
    make_history, server, url, monkeypatch, certificate
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert make_history(url).list(Query()).records == []
    assert server.requests == 1


def test_a_ca_bundle_that_is_not_there_is_named(make_history, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(Unreachable, match=r"/nowhere/ca\.pem"):
        make_history(BASE, timeout=2).list(Query())


def test_a_deadline_holds_with_tls_too(make_history, monkeypatch, certificate):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    answer = b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 10_000
    with (
        RawServer(lambda peer, _: peer.drip(answer, 0.02), context) as server,
        pytest.raises(TimedOut),
    ):
        make_history(server.url, timeout=1.0).list(Query())
