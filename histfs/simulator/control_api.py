"""The endpoints under /_simulator/, with which another process turns the simulator's knobs.

They are no part of the API: they need no key, are not counted, and no fault happens to them.
Bodies are JSON objects::

    GET, DELETE  counts      what was asked so far; forget it
    POST         faults      put one fault in force: the attributes of `Fault`
    DELETE       faults      take all faults out of force
    POST         items       add items at the top: {"count": 3, "time": …, "fields": {…}}
    DELETE       items/ID    remove an item
    POST         conversations       add some at the top: {"count": 3, "time": …, "status": …,
                                     "fields": {…}}
    PATCH        conversations/ID    let one go on or end: {"status": "done"}; also POST
    DELETE       conversations/ID    remove a conversation
    GET, PATCH   settings    {"latency": 0.1, "bandwidth": 50000, "chunked": true,
                             "permissions": ["speech_history_read"], "max_concurrent": 2};
                             also POST
"""

from __future__ import annotations

import dataclasses
import ipaddress

from histfs.simulator.api_errors import ApiError, known_conversation, known_item
from histfs.simulator.concurrency_limit import Concurrency
from histfs.simulator.conversation import STATUSES, Status
from histfs.simulator.conversation_store import ConversationStore
from histfs.simulator.fault_injection import Fault, Faults
from histfs.simulator.history_store import HistoryStore
from histfs.simulator.http_messages import ApiRequest, ApiResponse
from histfs.simulator.key_access import Access
from histfs.simulator.request_counts import RequestCounts
from histfs.simulator.routing import Endpoint, Route
from histfs.simulator.simulator_settings import Pace

PREFIX = "/_simulator/"


class ControlApi:
    """Answers for a running simulator. As thread-safe as what it turns."""

    def __init__(
        self,
        library: HistoryStore,
        conversations: ConversationStore,
        *,
        access: Access,
        counts: RequestCounts,
        concurrency: Concurrency,
        faults: Faults,
        pace: Pace,
    ) -> None:
        """Takes what there is to turn."""
        self._library = library
        self._conversations = conversations
        self._access = access
        self._counts = counts
        self._concurrency = concurrency
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
            ("POST", "conversations", self._add_conversations),
            ("PATCH", "conversations/{id}", self._change_conversation),
            ("POST", "conversations/{id}", self._change_conversation),
            ("DELETE", "conversations/{id}", self._remove_conversation),
            ("GET", "settings", self._get_settings),
            ("PATCH", "settings", self._change_settings),
            ("POST", "settings", self._change_settings),
        ]
        return [Route(method, PREFIX + path, _guard(endpoint)) for method, path, endpoint in table]

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

    def _reset_counts(self, request: ApiRequest) -> ApiResponse:
        self._counts.reset()
        return ApiResponse.of_json({"status": "ok"})

    def _add_faults(self, request: ApiRequest) -> ApiResponse:
        self._faults.add(Fault.from_json(request.json_object()))
        return ApiResponse.of_json({"status": "ok"})

    def _clear_faults(self, request: ApiRequest) -> ApiResponse:
        self._faults.clear()
        return ApiResponse.of_json({"status": "ok"})

    def _add_items(self, request: ApiRequest) -> ApiResponse:
        count, time, fields = _additions(request.json_object())
        ids = self._library.add(count, time=time, fields=fields)
        return ApiResponse.of_json({"history_item_ids": ids})

    def _remove_item(self, request: ApiRequest) -> ApiResponse:
        item_id = request.path_values["id"]
        with known_item(item_id):
            self._library.remove(item_id)
        return ApiResponse.of_json({"status": "ok"})

    def _add_conversations(self, request: ApiRequest) -> ApiResponse:
        wanted = request.json_object()
        count, time, fields = _additions(wanted)
        status = None if wanted.get("status") is None else _status(wanted)
        ids = self._conversations.add(count, time=time, status=status, fields=fields)
        return ApiResponse.of_json({"conversation_ids": ids})

    def _change_conversation(self, request: ApiRequest) -> ApiResponse:
        conversation_id, status = request.path_values["id"], _status(request.json_object())
        with known_conversation(conversation_id):
            self._conversations.set_status(conversation_id, status)
        return ApiResponse.of_json({"status": "ok"})

    def _remove_conversation(self, request: ApiRequest) -> ApiResponse:
        conversation_id = request.path_values["id"]
        with known_conversation(conversation_id):
            self._conversations.remove(conversation_id)
        return ApiResponse.of_json({"status": "ok"})

    def _get_settings(self, request: ApiRequest) -> ApiResponse:
        pace, permissions = self._pace, self._access.permissions
        return ApiResponse.of_json(
            {
                "latency": pace.latency,
                "bandwidth": pace.bandwidth,
                "chunked": pace.chunked,
                "max_concurrent": self._concurrency.most,
                "permissions": None if permissions is None else sorted(permissions),
            }
        )

    def _change_settings(self, request: ApiRequest) -> ApiResponse:
        for name, value in request.json_object().items():
            if name == "latency" and isinstance(value, int | float):
                self._pace.latency = value
            elif name == "bandwidth" and isinstance(value, int | float | None):
                self._pace.bandwidth = value
            elif name == "chunked" and isinstance(value, bool):
                self._pace.chunked = value
            elif name == "max_concurrent" and isinstance(value, int | None):
                self._concurrency.most = value
            elif name == "permissions" and isinstance(value, list | None):
                self._access.permissions = None if value is None else frozenset(map(str, value))
            else:
                raise ValueError(f"no setting {name} with a value of this type")
        return self._get_settings(request)


def _additions(wanted: dict[str, object]) -> tuple[int, int | None, dict[str, object] | None]:
    """Reads how many to add, when they are from, and what they hold."""
    count, time, fields = wanted.get("count", 1), wanted.get("time"), wanted.get("fields")
    if not isinstance(count, int) or not isinstance(time, int | None):
        raise ValueError("count and time must be integers")
    if not isinstance(fields, dict | None):
        raise ValueError("fields must be an object")
    return count, time, fields


def _status(wanted: dict[str, object]) -> Status:
    for status in STATUSES:
        if wanted.get("status") == status:
            return status
    raise ValueError(f"status must be one of {', '.join(STATUSES)}")


def _guard(endpoint: Endpoint) -> Endpoint:
    """Lets only this machine in, and turns a bad value into an answer."""

    def guarded(request: ApiRequest) -> ApiResponse:
        if not ipaddress.ip_address(request.client).is_loopback:
            raise ApiError(403, {"detail": "Only for this machine"})
        try:
            return endpoint(request)
        except ValueError as error:
            raise ApiError(400, {"detail": str(error)}) from error

    return guarded
