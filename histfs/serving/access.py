"""Decides which requests are answered at all; everything else of the server stands behind it.

The server may be reached by more than its user: by web pages in a browser on this machine, which
can send requests to any address (cross-site requests), also under a name of theirs that they let
resolve to this machine (DNS rebinding); by other users of the machine; and, if it listens on
another address than loopback, by the network.

- A request that a page of another origin made a browser send is refused. A link to the server may
  be followed: the page that has it learns nothing.
- Without credentials only names and addresses of loopback are answered to, and only processes of
  the user, of root and of davfs2, which mounts for root.
- With credentials, each request must have them.
- Methods that change anything are refused, but DELETE where that was asked for.

Threads: any number; nothing changes here.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from histfs.core.secret import Secret
from histfs.core.server_url import is_loopback
from histfs.serving.wsgi import App, Environ, StartResponse, answer

#: The key of the environ under which the server puts the user id of the peer; None if not known.
PEER_UID = "histfs.peer_uid"

_READING = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
_WRITING = frozenset(
    {"COPY", "DELETE", "LOCK", "MKCOL", "MOVE", "PATCH", "POST", "PROPPATCH", "PUT", "UNLOCK"}
)
#: Mounts for root, under a user of its own; mounts of other users run under theirs.
_MOUNTING_USER = "davfs2"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request must have; either of both suffices.

    Attributes:
        user: the name of the user; None for any.
        password: of this user; None for none.
        token: a bearer token, which is also accepted as the password of any user.
    """

    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None

    def accept(self, header: str | None) -> bool:
        """Say whether a header ``Authorization`` has them."""
        scheme, _, rest = (header or "").partition(" ")
        if scheme.lower() == "bearer":
            return _is_same(self.token, rest.strip())
        if scheme.lower() != "basic":
            return False
        try:
            decoded = base64.b64decode(rest.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return False
        user, _, password = decoded.partition(":")
        is_user = self.user is not None and hmac.compare_digest(user.encode(), self.user.encode())
        return (_is_same(self.password, password) and is_user) or _is_same(self.token, password)


class Access:
    """Passes on the requests that may be answered, and refuses the others. A WSGI application.

    Args:
        app: answers what is allowed.
        credentials: what each request must have; None for a server on loopback that needs none.
        delete: whether DELETE is allowed.
    """

    def __init__(self, app: App, credentials: Credentials | None, *, delete: bool) -> None:
        self._app = app
        self._credentials = credentials
        self._methods = _READING | ({"DELETE"} if delete else set())
        self._users = _allowed_users()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        method = environ["REQUEST_METHOD"]
        if _is_cross_site(environ):
            refused = (HTTPStatus.FORBIDDEN, "This request comes from a page of another site.")
        elif self._credentials is None and not _is_for_loopback(environ.get("HTTP_HOST")):
            refused = (HTTPStatus.MISDIRECTED_REQUEST, "This is not the name of this server.")
        elif self._credentials is None and not self._is_own(environ.get(PEER_UID), method):
            refused = (HTTPStatus.FORBIDDEN, "The history belongs to another user.")
        elif self._credentials and not self._credentials.accept(environ.get("HTTP_AUTHORIZATION")):
            challenge = {"WWW-Authenticate": 'Basic realm="histfs", charset="UTF-8"'}
            return answer(environ, start_response, HTTPStatus.UNAUTHORIZED, headers=challenge)
        elif method in self._methods:
            return self._app(environ, start_response)
        elif method in _WRITING:
            refused = (HTTPStatus.FORBIDDEN, "Nothing can be changed here.")
        else:
            allow = {"Allow": ", ".join(sorted(self._methods))}
            return answer(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)
        return answer(environ, start_response, *refused)

    def _is_own(self, uid: int | None, method: str) -> bool:
        """Say whether a local peer needs no credentials.

        One that closes its connection at once is not known: it can't read an answer, but delete.
        """
        return uid in self._users and (uid is not None or method in _READING)


def _is_same(secret: Secret | None, given: str) -> bool:
    return secret is not None and hmac.compare_digest(secret.reveal().encode(), given.encode())


def _allowed_users() -> frozenset[int | None]:
    """Return the user ids of local peers that need no credentials; None is one not known."""
    users: set[int | None] = {os.geteuid(), 0, None}
    with contextlib.suppress(KeyError):
        users.add(pwd.getpwnam(_MOUNTING_USER).pw_uid)
    return frozenset(users)


def _is_cross_site(environ: Environ) -> bool:
    """Say whether a browser sent a request for a page of another origin."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None:
        try:
            own = urlsplit(origin).netloc == environ.get("HTTP_HOST")
        except ValueError:
            own = False
        if not own:
            return True
    if environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin"):
        return False
    follows_link = (
        environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        and environ["REQUEST_METHOD"] in ("GET", "HEAD")
    )
    return not follows_link


def _is_for_loopback(host: str | None) -> bool:
    """Say whether a header ``Host`` names loopback; a browser always sends one."""
    if host is None:
        return True
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
