"""The endpoints under /_simulator/, with which another process turns the simulator's knobs.

They are no part of the API: they need no key, are not counted, and no fault happens to them.
Bodies are JSON objects::

    GET, DELETE  counts      what was asked so far; forget it
    POST         faults      put one fault in force: the attributes of `Fault`
    DELETE       faults      take all faults out of force
    POST         items       add items at the top: {"count": 3, "time": …, "fields": {…}}
    DELETE       items/ID    remove an item
    GET, PATCH   settings    {"latency": 0.1, "bandwidth": 50000, "chunked": true}; also POST
"""

from __future__ import annotations

import dataclasses
import ipaddress

from histfs.simulator.counts import Counts
from histfs.simulator.errors import ApiError, known_item
from histfs.simulator.faults import Fault, Faults
from histfs.simulator.library import Library
from histfs.simulator.messages import Request, Response
from histfs.simulator.routing import Endpoint, Route
from histfs.simulator.settings import Pace

PREFIX = "/_simulator/"


class ControlApi:
    """Answers for a running simulator. As thread-safe as what it turns."""

    def __init__(self, library: Library, counts: Counts, faults: Faults, pace: Pace) -> None:
        """Takes what there is to turn."""
        self._library = library
        self._counts = counts
        self._faults = faults
        self._pace = pace

    def routes(self) -> list[Route]:
        """Gives the endpoints of this family."""
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "counts", self._get_counts),
            ("DELETE", "counts", self._reset_counts),
            ("POST", "faults", self._add_faults),
            ("DELETE", "faults", self._clear_faults),
            ("POST", "items", self._add_items),
            ("DELETE", "items/{id}", self._remove_item),
            ("GET", "settings", self._get_settings),
            ("PATCH", "settings", self._change_settings),
            ("POST", "settings", self._change_settings),
        ]
        return [Route(method, PREFIX + path, _guard(endpoint)) for method, path, endpoint in table]

    def _get_counts(self, request: Request) -> Response:
        return Response.of_json(
            {
                "counts": self._counts.per_endpoint(),
                "total": self._counts.total,
                "max_in_flight": self._counts.max_in_flight,
                "log": [dataclasses.asdict(record) for record in self._counts.log],
            }
        )

    def _reset_counts(self, request: Request) -> Response:
        self._counts.reset()
        return Response.of_json({"status": "ok"})

    def _add_faults(self, request: Request) -> Response:
        self._faults.add(Fault.from_json(request.json_object()))
        return Response.of_json({"status": "ok"})

    def _clear_faults(self, request: Request) -> Response:
        self._faults.clear()
        return Response.of_json({"status": "ok"})

    def _add_items(self, request: Request) -> Response:
        wanted = request.json_object()
        count, time, fields = wanted.get("count", 1), wanted.get("time"), wanted.get("fields")
        if not isinstance(count, int) or not isinstance(time, int | None):
            raise ValueError("count and time must be integers")
        if not isinstance(fields, dict | None):
            raise ValueError("fields must be an object")
        ids = self._library.add(count, time=time, fields=fields)
        return Response.of_json({"history_item_ids": ids})

    def _remove_item(self, request: Request) -> Response:
        item_id = request.path_values["id"]
        with known_item(item_id):
            self._library.remove(item_id)
        return Response.of_json({"status": "ok"})

    def _get_settings(self, request: Request) -> Response:
        pace = self._pace
        return Response.of_json(
            {"latency": pace.latency, "bandwidth": pace.bandwidth, "chunked": pace.chunked}
        )

    def _change_settings(self, request: Request) -> Response:
        for name, value in request.json_object().items():
            if name == "latency" and isinstance(value, int | float):
                self._pace.latency = value
            elif name == "bandwidth" and isinstance(value, int | float | None):
                self._pace.bandwidth = value
            elif name == "chunked" and isinstance(value, bool):
                self._pace.chunked = value
            else:
                raise ValueError(f"no setting {name} with a value of this type")
        return self._get_settings(request)


def _guard(endpoint: Endpoint) -> Endpoint:
    """Lets only this machine in, and turns a bad value into an answer."""

    def guarded(request: Request) -> Response:
        if not ipaddress.ip_address(request.client).is_loopback:
            raise ApiError(403, {"detail": "Only for this machine"})
        try:
            return endpoint(request)
        except ValueError as error:
            raise ApiError(400, {"detail": str(error)}) from error

    return guarded
