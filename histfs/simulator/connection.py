"""One connection of a client: reads requests, sends answers, and lets faults happen to them."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from histfs import __version__
from histfs.simulator.api_errors import ApiError
from histfs.simulator.concurrency_limit import Concurrency
from histfs.simulator.control_api import PREFIX as CONTROL_PREFIX
from histfs.simulator.fault_injection import Fault, Faults
from histfs.simulator.http_messages import ApiRequest, ApiResponse
from histfs.simulator.key_access import Access
from histfs.simulator.request_counts import RequestCounts, RequestRecord
from histfs.simulator.routing import Match, Router
from histfs.simulator.simulator_settings import Pace

MAX_BODY = 1 << 20
MAX_LINE = 1 << 16
# With a limited bandwidth, one piece is sent in about so many seconds.
_PIECE_SECONDS = 0.02
# l_onoff and l_linger: close() then sends RST and drops what is still to be sent.
_LINGER_ZERO = struct.pack("ii", 1, 0)


class _HangUpError(Exception):
    """The connection must end here, with a reset or without."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


@dataclasses.dataclass(frozen=True)
class ServerContext:
    """All that the connections of one simulator share.

    Attributes:
        router: Finds endpoints.
        access: Knows the keys.
        counts: Counts requests.
        concurrency: Refuses requests when too many are being answered.
        faults: Tells what goes wrong.
        pace: Tells how to send.
        stopping: Set when the simulator stops, so that nobody waits on.
        on_request: Called with each logged request.
    """

    router: Router
    access: Access
    counts: RequestCounts
    concurrency: Concurrency
    faults: Faults
    pace: Pace
    stopping: threading.Event
    on_request: Callable[[RequestRecord], None]


class Connection(BaseHTTPRequestHandler):
    """Serves one connection until either side closes it; runs in a thread of its own."""

    protocol_version = "HTTP/1.1"
    server_version = f"histfs-simulator/{__version__}"
    disable_nagle_algorithm = True

    def __init__(self, desk: ServerContext, *connection: Any) -> None:  # noqa: ANN401 - passed on
        """Serves the connection to its end; the base class does so in its constructor."""
        self._desk = desk
        super().__init__(*connection)

    def handle_one_request(self) -> None:
        """Reads one request and answers it."""
        try:
            self.raw_requestline = self.rfile.readline(MAX_LINE)
            if not self.raw_requestline:
                self.close_connection = True
            elif self.parse_request():
                self._serve()
        except _HangUpError as error:
            self.close_connection = True
            if error.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                # The base class would shut the socket down in an orderly way before closing it.
                socket.close(self.connection.detach())
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: `RequestCounts` holds the log."""

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        request = ApiRequest(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            client=self.client_address[0],
        )
        match = self._desk.router.match(request.method, request.path)
        request = dataclasses.replace(request, path_values=match.values)
        if request.path.startswith(CONTROL_PREFIX):
            self._send(_ask(match, request), None, lambda: None)
            return
        self._desk.counts.begin(match.name)
        with contextlib.ExitStack() as stack:
            stack.callback(self._desk.counts.end)
            try:
                headers = stack.enter_context(self._desk.concurrency.admitted())
            except ApiError as error:
                self._pause(self._desk.pace.latency)
                refusal = ApiResponse.of_error(error)
                self._log(match, request, refusal)
                self._send(refusal, None, stack.close)
            else:
                self._answer(match, request, headers, stack.close)

    def _read_body(self) -> bytes | None:
        """Reads the request's body; if that can't be, answers by itself and gives None."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif not (length.isascii() and length.isdigit()):
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            return self.rfile.read(int(length))
        return None

    def _answer(
        self,
        match: Match,
        request: ApiRequest,
        headers: Mapping[str, str],
        done: Callable[[], None],
    ) -> None:
        fault = self._desk.faults.take(request.method, request.path, request.query)
        self._pause(self._desk.pace.latency)
        if fault and fault.kind == "hang" and not fault.in_body:
            self._pause(fault.seconds)
        response = _ask(match, request) if fault is None or fault.asks_endpoint else None
        if fault:
            response = fault.apply(response)
        self._log(match, request, response)
        if response is None:
            raise _HangUpError(reset=True)
        response.headers.update(headers)
        self._send(response, fault if fault and fault.in_body else None, done)

    def _log(self, match: Match, request: ApiRequest, response: ApiResponse | None) -> None:
        headers = request.headers
        record = RequestRecord(
            method=request.method,
            target=self._desk.access.conceal(request.target, headers),
            endpoint=match.name,
            status=response.status if response else None,
            key=self._desk.access.state(headers),
            header_names=tuple(headers),
            user_agent=headers.get("user-agent"),
            accept_encoding=headers.get("accept-encoding"),
        )
        self._desk.counts.record(record)
        self._desk.on_request(record)

    def _send(self, response: ApiResponse, fault: Fault | None, done: Callable[[], None]) -> None:
        """Sends an answer.

        Args:
            response: The answer.
            fault: What happens in its body, if anything does.
            done: Called before the last bytes are sent.
        """
        chunked = (
            response.streamed
            and self._desk.pace.chunked
            and self.request_version == self.protocol_version
        )
        pending = self._head(response, chunked=chunked)
        if self.command == "HEAD":
            response.blocks, chunked = [], False
        fault_at = _place(fault, response.length)
        if fault and fault.head:
            self._drip(pending, fault)
            pending = b""
        sent = 0
        due = time.monotonic()
        drips = fault_at if fault and fault.kind == "drip" else None
        for piece in self._pieces(response.blocks, fault_at, drips):
            if fault and (sent == fault_at or (drips is not None and sent > drips)):
                self.wfile.write(pending)
                pending = b""
                self._apply_fault(fault)
            sent += len(piece)
            if sent == response.length and not chunked:
                done()
            self.wfile.write(pending + (_chunk(piece) if chunked else piece))
            pending = b""
            rate = self._desk.pace.bandwidth
            due = max(due, time.monotonic() - _PIECE_SECONDS)
            if rate is not None:
                due += len(piece) / rate
                self._pause(max(0, due - time.monotonic()))
        if fault and fault_at == sent:
            self.wfile.write(pending)
            pending = b""
            self._apply_fault(fault)
        done()
        self.wfile.write(pending + (_chunk(b"") if chunked else b""))

    def _drip(self, head: bytes, fault: Fault) -> None:
        """Sends a status line and headers byte by byte."""
        for byte in head:
            self.wfile.write(bytes([byte]))
            self._apply_fault(fault)

    def _head(self, response: ApiResponse, *, chunked: bool) -> bytes:
        headers = {
            "date": self.date_time_string(),
            "server": self.server_version,
            **response.headers,
        }
        if chunked:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(response.length)
        if self.close_connection:
            headers["connection"] = "close"
        status = response.status
        phrase = self.responses[status][0] if status in self.responses else ""
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _pieces(
        self, blocks: Iterable[bytes], fault_at: int | None, drips_at: int | None
    ) -> Iterator[bytes]:
        """Cuts blocks where a fault happens, into drops, and small enough for the bandwidth."""
        position = 0
        for block in blocks:
            rest = block
            while rest:
                size = len(rest)
                rate = self._desk.pace.bandwidth
                if rate is not None:
                    size = min(size, max(1, int(rate * _PIECE_SECONDS)))
                if fault_at is not None and fault_at > position:
                    size = min(size, fault_at - position)
                if drips_at is not None and position >= drips_at:
                    size = 1
                position += size
                yield rest[:size]
                rest = rest[size:]

    def _apply_fault(self, fault: Fault) -> None:
        """Lets happen what a fault does in the middle of a body."""
        if fault.kind == "hang":
            self._pause(fault.seconds)
        elif fault.kind == "drip":
            self._pause(1.0 if fault.seconds is None else fault.seconds)
        else:
            raise _HangUpError(reset=fault.kind == "reset")

    def _pause(self, seconds: float | None) -> None:
        """Waits for some seconds (None: for ever), but not beyond the simulator's end."""
        if seconds != 0 and self._desk.stopping.wait(seconds):
            raise _HangUpError(reset=False)


def _ask(match: Match, request: ApiRequest) -> ApiResponse:
    try:
        return match.endpoint(request)
    except ApiError as error:
        return ApiResponse.of_error(error)


def _place(fault: Fault | None, length: int) -> int | None:
    """Tells how many bytes of a body come before a fault; at most all of them."""
    if fault is None:
        return None
    if fault.head:
        return 0
    return length // 2 if fault.at_byte is None else min(fault.at_byte, length)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
