"""Requests that must not be answered: of web pages, of other users, of other machines."""

from __future__ import annotations

import os

import pytest
import requests

from histfs.core.secret import Secret
from histfs.serving import access
from histfs.serving.access import PEER_UID, Access, Credentials
from histfs.serving.server import ServeOptions, serving

USER = Credentials("ann", Secret("pass:wörd"), None)
TOKEN = Credentials(token=Secret("0123456789-token"))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8766", "127.0.0.1.evil.example", ""]
)
def test_a_name_that_is_made_to_resolve_to_this_machine_is_refused(client, host, item):
    """DNS rebinding: for the browser, the page and the server have one origin then."""
    for method in ("GET", "PROPFIND", "OPTIONS", "DELETE"):
        assert client.ask(method, item, headers={"Host": host}).status_code in (400, 421), host


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1", "[::1]:9000"])
def test_each_name_of_loopback_is_answered_to_also_through_a_tunnel(client, host):
    assert client.ask("GET", "", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_a_page_of_another_origin_can_neither_read_nor_delete(
    serve, simulator, item, audio, headers
):
    client = serve(delete=True)
    for method in ("GET", "HEAD", "PROPFIND", "OPTIONS", "DELETE"):
        refused = client.ask(method, audio, headers=headers)
        assert refused.status_code == 403
        assert not [name for name in refused.headers if name.startswith("Access-Control")]
    assert simulator.counts["DELETE /v1/history/{id}"] == 0


def test_a_link_to_the_server_can_be_followed_and_its_own_pages_can_be_used(client):
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    followed = client.ask("GET", "", headers=link)
    assert (followed.status_code, followed.headers["X-Frame-Options"]) == (200, "DENY")
    own = {"Origin": client.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.ask("GET", "", headers=own).status_code == 200
    # A link can't delete anything.
    assert client.ask("DELETE", "by-date", headers=link).status_code == 403


def test_another_user_of_the_machine_is_refused_and_a_mount_of_root_is_not(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(
        access.pwd, "getpwnam", lambda name: type("_", (), {"pw_uid": 77}) if name else None
    )

    def statuses(credentials, **more):
        def app(environ, start_response):
            start_response("200 OK", [])
            return []

        asked = Access(app, credentials, delete=True)
        for uid in (1000, 0, 77, None, 1001):
            environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": "localhost", PEER_UID: uid} | more
            asked(environ, lambda status, headers: found.append(status[:3]))

    found = []
    statuses(None)
    assert found == ["200", "200", "200", "200", "403"]
    found.clear()
    # It may be any user's, who closed the connection at once.
    statuses(None, REQUEST_METHOD="DELETE")
    assert found == ["200", "200", "200", "403", "403"]
    found.clear()
    statuses(TOKEN, HTTP_AUTHORIZATION="Bearer 0123456789-token")
    assert found == ["200"] * 5


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_user_of_a_connection_is_told_by_the_kernel(tree, address, monkeypatch):
    seen = []
    monkeypatch.setattr(access, "_allowed_users", lambda: Users(seen))
    try:
        with serving(tree, ServeOptions(address, 0)) as url:
            assert requests.get(url, timeout=10).status_code == 200
    except OSError:
        pytest.skip(f"no {address} here")
    assert seen == [os.geteuid()]


class Users:
    """Contains each user, and notes the ones that it is asked for."""

    def __init__(self, seen):
        self._seen = seen

    def __contains__(self, uid):
        self._seen.append(uid)
        return True


def test_a_password_or_a_token_is_asked_for_where_there_is_one(serve):
    client = serve(credentials=USER)
    refused = client.get()
    assert (refused.status_code, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert client.ask("OPTIONS").status_code == client.ask("PROPFIND").status_code == 401
    login = (b"ann", "pass:wörd".encode())
    assert client.ask("GET", auth=login).status_code == 200
    for wrong in (("ann", "pass"), ("bob", "pass:wörd".encode()), ("ann", "")):
        assert client.ask("GET", auth=wrong).status_code == 401
    for header in ("Basic", "Basic !", "Basic /w==", "Bearer", "Bearer ", "Digest x"):
        assert client.get(Authorization=header).status_code == 401


def test_a_token_suffices_also_as_the_password_of_any_user(serve):
    client = serve(credentials=TOKEN)
    assert client.get(Authorization="Bearer 0123456789-token").status_code == 200
    assert client.ask("GET", auth=("", "0123456789-token")).status_code == 200
    assert client.get(Authorization="Bearer 0123456789").status_code == 401
    assert client.ask("GET", auth=("ann", "")).status_code == 401


def test_other_machines_are_served_with_tls_and_credentials_alone(tree, certificate):
    cert, _ = certificate
    for options in ({}, {"credentials": TOKEN}, {"tls": certificate}):
        with (
            pytest.raises(ValueError, match="credentials and TLS"),
            serving(tree, ServeOptions("0.0.0.0", 0, **options)),
        ):
            pass
    both = ServeOptions("0.0.0.0", 0, credentials=TOKEN, tls=certificate)
    with serving(tree, both) as url:
        assert url.startswith("https://0.0.0.0:")
        place = url.replace("0.0.0.0", "127.0.0.1")
        login = {"auth": ("", "0123456789-token"), "timeout": 10, "verify": str(cert)}
        assert requests.get(place, **login).status_code == 200
        try:
            plain = requests.get(place.replace("https", "http"), timeout=10).status_code
        except requests.ConnectionError:
            plain = None
        assert plain in (400, None)


@pytest.mark.parametrize("method", ["PUT", "MKCOL", "POST", "COPY", "MOVE", "PROPPATCH", "LOCK"])
def test_nothing_can_be_written(serve, method):
    for client in (serve(), serve(delete=True)):
        assert client.ask(method, "/new").status_code == 403
        assert client.ask("TRACE").status_code == 405
