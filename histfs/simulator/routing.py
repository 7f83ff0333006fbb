"""Route requests to endpoints. Each family of endpoints is a module with a list of routes."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from histfs.simulator.api_errors import ApiError
from histfs.simulator.http_messages import ApiRequest, ApiResponse

Endpoint = Callable[[ApiRequest], ApiResponse]

_NO_ROUTE = "(no route)"


@dataclass(frozen=True)
class Route:
    """One endpoint.

    Attributes:
        method: The HTTP method.
        template: The path; `{name}` is a placeholder for one segment.
        endpoint: The function that answers.
    """

    method: str
    template: str
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """The name of the endpoint's counter."""
        return f"{self.method} {self.template}"


@dataclass(frozen=True)
class Match:
    """The route of a request.

    Attributes:
        name: The name of the endpoint's counter.
        endpoint: The function that answers; it raises ApiError when there is no such route.
        values: The decoded values of the route's placeholders.
    """

    name: str
    endpoint: Endpoint
    values: Mapping[str, str]


class Router:
    """Find the endpoint for a request; the first matching route wins.

    Threads: immutable, so any thread may use it.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(_pattern(route.template), route) for route in routes]

    def match(self, method: str, path: str) -> Match:
        """Return the route; for an unknown path or method, one that answers 404 or 405."""
        same_path = []
        for pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if found and route.method == method:
                values = {
                    name: urllib.parse.unquote(value) for name, value in found.groupdict().items()
                }
                return Match(route.name, route.endpoint, values)
            if found:
                same_path.append(route)
        if not same_path:
            return Match(_NO_ROUTE, _refuse([]), {})
        template = same_path[0].template
        allowed = sorted(route.method for route in same_path if route.template == template)
        return Match(f"{method} {template}", _refuse(allowed), {})


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)))


def _refuse(allowed: list[str]) -> Endpoint:
    def endpoint(request: ApiRequest) -> ApiResponse:
        if allowed:
            raise ApiError(405, {"detail": "Method Not Allowed"}, {"allow": ", ".join(allowed)})
        raise ApiError(404, {"detail": "Not Found"})

    return endpoint
