"""The adapter of requests that `http_client` sends with: for one server, at less cost.

Of the CPU time of a request requests would take a quarter: for pools, proxies and URLs that are the
same each time, and for cookies.

Threads: any number may use an `Adapter` at once. What it finds once is the same for each of them.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from histfs.sources.elevenlabs import http_connections
from histfs.sources.elevenlabs.http_connections import SOCKET_OPTIONS


class Adapter(HTTPAdapter):
    """An adapter of requests to one server, whose connections keep to the deadlines of requests."""

    #: Found once, which takes a tenth of the time of a request: the connection pool, and what the
    #: URL of a request has before its target; an empty text where a proxy takes whole URLs.
    _pool: Any = None
    _origin: str | None = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return the connection pool of the server; its settings never change."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the connections that are not in use; they end with the last reference to a pool."""
        self._pool = None
        super().close()

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ANN401
        """Return the target of a request."""
        url = request.url or ""
        if self._origin is None or not url.startswith(self._origin):
            target = super().request_url(request, proxies)
            self._origin = url.removesuffix(target) if url.endswith(target) else None
            return target
        return url[len(self._origin) :]

    def build_response(
        self,
        req: requests.PreparedRequest,
        resp: Any,  # noqa: ANN401 - urllib3's
    ) -> requests.Response:
        """Return the response, without the cookies and the text that nothing here reads."""
        response = requests.Response()
        response.request, response.url, response.raw = req, req.url or "", resp
        response.status_code, response.reason, response.headers = (
            resp.status,
            resp.reason,
            resp.headers,
        )
        return response

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Make the connection pools for direct requests."""
        super().init_poolmanager(*args, socket_options=SOCKET_OPTIONS, **kwargs)
        http_connections.enforce_deadlines(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return the connection pools of a proxy."""
        manager = super().proxy_manager_for(*args, socket_options=SOCKET_OPTIONS, **kwargs)
        http_connections.enforce_deadlines(manager)
        return manager
