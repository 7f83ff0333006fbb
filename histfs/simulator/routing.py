"""The table of routes: each family of endpoints is a module that gives a list of them."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from histfs.simulator.api_errors import ApiError
from histfs.simulator.http_messages import ApiRequest, ApiResponse

Endpoint = Callable[[ApiRequest], ApiResponse]

NO_ROUTE = "(no route)"


@dataclass(frozen=True)
class Route:
    """One endpoint.

    Attributes:
        method: The HTTP method.
        template: The path; `{name}` stands for one part of it.
        endpoint: What answers.
    """

    method: str
    template: str
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """What the endpoint is counted under."""
        return f"{self.method} {self.template}"


@dataclass(frozen=True)
class Match:
    """Where a request goes.

    Attributes:
        name: What it is counted under.
        endpoint: What answers; it raises where there is no such route.
        values: What the route's placeholders stand for, decoded.
    """

    name: str
    endpoint: Endpoint
    values: Mapping[str, str]


class Router:
    """Finds the endpoint for a request. Immutable, so it may be shared by threads."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Takes the routes; of two that match, the first wins."""
        self._routes = [(_pattern(route.template), route) for route in routes]

    def match(self, method: str, path: str) -> Match:
        """Finds the endpoint; a wrong path or method gives one that answers 404 or 405."""
        others = []
        for pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if found and route.method == method:
                values = {
                    name: urllib.parse.unquote(value) for name, value in found.groupdict().items()
                }
                return Match(route.name, route.endpoint, values)
            if found:
                others.append(route)
        if not others:
            return Match(NO_ROUTE, _refuse([]), {})
        template = others[0].template
        allowed = sorted(route.method for route in others if route.template == template)
        return Match(f"{method} {template}", _refuse(allowed), {})


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)))


def _refuse(allowed: list[str]) -> Endpoint:
    def endpoint(request: ApiRequest) -> ApiResponse:
        if allowed:
            raise ApiError(405, {"detail": "Method Not Allowed"}, {"allow": ", ".join(allowed)})
        raise ApiError(404, {"detail": "Not Found"})

    return endpoint
