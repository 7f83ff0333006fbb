"""Endpoints under /_simulator/ with which another process controls the simulator.

They are not part of the API: they need no key, are not counted, and are not subject to faults.
Bodies are JSON objects::

    GET   counts    the requests so far
    POST  faults    put one fault in force: the attributes of `Fault`
    POST  items     add items at the top: {"count": 3, "time": …, "fields": {…}}
"""

from __future__ import annotations

import dataclasses
import ipaddress

from histfs.simulator.api_errors import ApiError
from histfs.simulator.concurrency_limit import Concurrency
from histfs.simulator.fault_injection import Fault, Faults
from histfs.simulator.history_store import HistoryStore
from histfs.simulator.http_messages import ApiRequest, ApiResponse
from histfs.simulator.request_counts import RequestCounts
from histfs.simulator.routing import Endpoint, Route

PREFIX = "/_simulator/"


class ControlApi:
    """Control a running simulator. Thread-safe: all state is in the objects that it is given."""

    def __init__(
        self,
        library: HistoryStore,
        *,
        counts: RequestCounts,
        concurrency: Concurrency,
        faults: Faults,
    ) -> None:
        self._library = library
        self._counts = counts
        self._concurrency = concurrency
        self._faults = faults

    def routes(self) -> list[Route]:
        """Return the endpoints of this family."""
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "counts", self._get_counts),
            ("POST", "faults", self._add_fault),
            ("POST", "items", self._add_items),
        ]
        return [Route(method, PREFIX + path, _local(endpoint)) for method, path, endpoint in table]

    def _get_counts(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse.of_json(
            {
                "counts": self._counts.per_endpoint(),
                "total": self._counts.total,
                "max_in_flight": self._counts.max_in_flight,
                "refused": self._concurrency.refused,
                "log": [dataclasses.asdict(record) for record in self._counts.log],
            }
        )

    def _add_fault(self, request: ApiRequest) -> ApiResponse:
        self._faults.add(Fault.from_json(request.json_object()))
        return ApiResponse.of_json({"status": "ok"})

    def _add_items(self, request: ApiRequest) -> ApiResponse:
        body = request.json_object()
        count, time, fields = body.get("count", 1), body.get("time"), body.get("fields")
        if not isinstance(count, int) or not isinstance(time, int | None):
            raise ValueError("count and time must be integers")
        if not isinstance(fields, dict | None):
            raise ValueError("fields must be an object")
        ids = self._library.add(count, time=time, fields=fields)
        return ApiResponse.of_json({"history_item_ids": ids})


def _local(endpoint: Endpoint) -> Endpoint:
    """Refuse clients on other machines (403), and answer 400 for a ValueError."""

    def local(request: ApiRequest) -> ApiResponse:
        if not ipaddress.ip_address(request.client).is_loopback:
            raise ApiError(403, {"detail": "Only for this machine"})
        try:
            return endpoint(request)
        except ValueError as error:
            raise ApiError(400, {"detail": str(error)}) from error

    return local
