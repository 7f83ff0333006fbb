"""Serve one client connection: read requests, send responses, and apply faults to them.

Threads: a connection runs in a thread of its own; what connections share is in `ServerContext`.
"""

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
from histfs.simulator.shared_link import SEND_BUFFER, SharedLink
from histfs.simulator.simulator_settings import Pace

_MAX_BODY = 1 << 20
_MAX_LINE = 1 << 16
# With a limited bandwidth, the seconds that one piece takes.
_PIECE_SECONDS = 0.02
# l_onoff and l_linger (socket(7)): close() then sends RST and discards unsent data.
_LINGER_ZERO = struct.pack("ii", 1, 0)


class _ConnectionEndError(Exception):
    """The connection must be closed now, with a reset or without."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


@dataclasses.dataclass(frozen=True)
class ServerContext:
    """The objects that all connections of one simulator share; each of them is thread-safe.

    Attributes:
        router: Finds the endpoint of a request.
        access: Checks keys.
        counts: Counts and logs requests.
        concurrency: Refuses requests above the limit.
        faults: The faults in force.
        pace: Latency, bandwidth and framing of responses.
        link: The link that all responses share.
        stopping: Set when the simulator stops; ends all waits.
        on_request: Called with each logged request, by the thread of its connection.
    """

    router: Router
    access: Access
    counts: RequestCounts
    concurrency: Concurrency
    faults: Faults
    pace: Pace
    link: SharedLink
    stopping: threading.Event
    on_request: Callable[[RequestRecord], None]


class Connection(BaseHTTPRequestHandler):
    """Serve one connection until either side closes it."""

    protocol_version = "HTTP/1.1"
    server_version = f"histfs-simulator/{__version__}"
    disable_nagle_algorithm = True

    def __init__(self, context: ServerContext, *connection: Any) -> None:  # noqa: ANN401 - passed on
        """Serve the connection to its end; the base class does so in its constructor."""
        self._context = context
        super().__init__(*connection)

    def setup(self) -> None:
        """Prepare the connection."""
        super().setup()
        if self._context.link.rate is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        try:
            self.raw_requestline = self.rfile.readline(_MAX_LINE)
            if not self.raw_requestline:
                self.close_connection = True
            elif self.parse_request():
                self._serve()
        except _ConnectionEndError as error:
            self.close_connection = True
            if error.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                # The base class would shut the socket down in an orderly way before closing it.
                socket.close(self.connection.detach())
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: `RequestCounts` has the log."""

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
        match = self._context.router.match(request.method, request.path)
        request = dataclasses.replace(request, path_values=match.values)
        if request.path.startswith(CONTROL_PREFIX):
            self._send(_call_endpoint(match, request), None, lambda: None)
            return
        self._context.counts.begin(match.name)
        with contextlib.ExitStack() as stack:
            stack.callback(self._context.counts.end)
            try:
                headers = stack.enter_context(self._context.concurrency.admitted())
            except ApiError as error:
                self._wait(self._context.pace.latency)
                refusal = ApiResponse.of_error(error)
                self._log(match, request, refusal)
                self._send(refusal, None, stack.close)
            else:
                self._answer(match, request, headers, stack.close)

    def _read_body(self) -> bytes | None:
        """Read the request's body; if it is not acceptable, send an error and return None."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif not (length.isascii() and length.isdigit()):
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif len(length) > len(str(_MAX_BODY)) or int(length) > _MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            return self.rfile.read(int(length))
        return None

    def _answer(
        self,
        match: Match,
        request: ApiRequest,
        headers: Mapping[str, str],
        before_end: Callable[[], None],
    ) -> None:
        fault = self._context.faults.take(request.method, request.path, request.query)
        self._wait(self._context.pace.latency)
        if fault and fault.kind == "hang" and not fault.in_body:
            self._wait(fault.seconds)
        response = _call_endpoint(match, request) if fault is None or fault.calls_endpoint else None
        if fault:
            response = fault.apply(response)
        self._log(match, request, response)
        if response is None:
            raise _ConnectionEndError(reset=True)
        response.headers.update(headers)
        self._send(response, fault if fault and fault.in_body else None, before_end)

    def _log(self, match: Match, request: ApiRequest, response: ApiResponse | None) -> None:
        headers = request.headers
        record = RequestRecord(
            method=request.method,
            target=self._context.access.redact(request.target, headers),
            endpoint=match.name,
            status=response.status if response else None,
            key=self._context.access.state(headers),
            accept_encoding=headers.get("accept-encoding"),
        )
        self._context.counts.record(record)
        self._context.on_request(record)

    def _send(
        self, response: ApiResponse, fault: Fault | None, before_end: Callable[[], None]
    ) -> None:
        """Send a response.

        Args:
            response: The response.
            fault: The fault to apply in its body, or None.
            before_end: Called before the last bytes are sent.
        """
        chunked = (
            response.streamed
            and self._context.pace.chunked
            and self.request_version == self.protocol_version
        )
        pending = self._head(response, chunked=chunked)
        if self.command == "HEAD":
            response.blocks, chunked = [], False
        fault_at = _fault_offset(fault, response.length)
        if fault and fault.head:
            self._drip_head(pending, fault)
            pending = b""
        sent = 0
        due = time.monotonic()
        drip_at = fault_at if fault and fault.kind == "drip" else None
        for piece in self._pieces(response.blocks, fault_at, drip_at):
            if fault and (sent == fault_at or (drip_at is not None and sent > drip_at)):
                self.wfile.write(pending)
                pending = b""
                self._apply_fault(fault)
            sent += len(piece)
            if sent == response.length and not chunked:
                before_end()
            self._wait(self._context.link.delay(len(piece)))
            self.wfile.write(pending + (_chunk(piece) if chunked else piece))
            pending = b""
            rate = self._context.pace.bandwidth
            due = max(due, time.monotonic() - _PIECE_SECONDS)
            if rate is not None:
                due += len(piece) / rate
                self._wait(max(0, due - time.monotonic()))
        if fault and fault_at == sent:
            self.wfile.write(pending)
            pending = b""
            self._apply_fault(fault)
        before_end()
        self.wfile.write(pending + (_chunk(b"") if chunked else b""))

    def _drip_head(self, head: bytes, fault: Fault) -> None:
        """Send the status line and the headers byte by byte."""
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
        self, blocks: Iterable[bytes], fault_at: int | None, drip_at: int | None
    ) -> Iterator[bytes]:
        """Split blocks at the fault, into single bytes for a drip, and to fit the bandwidth."""
        position = 0
        for block in blocks:
            remaining = block
            while remaining:
                size = len(remaining)
                for rate in filter(None, (self._context.pace.bandwidth, self._context.link.rate)):
                    size = min(size, max(1, int(rate * _PIECE_SECONDS)))
                if fault_at is not None and fault_at > position:
                    size = min(size, fault_at - position)
                if drip_at is not None and position >= drip_at:
                    size = 1
                position += size
                yield remaining[:size]
                remaining = remaining[size:]

    def _apply_fault(self, fault: Fault) -> None:
        """Apply a fault in the middle of a response: wait, or end the connection."""
        if fault.kind == "hang":
            self._wait(fault.seconds)
        elif fault.kind == "drip":
            self._wait(1.0 if fault.seconds is None else fault.seconds)
        else:
            raise _ConnectionEndError(reset=fault.kind == "reset")

    def _wait(self, seconds: float | None) -> None:
        """Wait some seconds (None: forever); end the connection when the simulator stops."""
        if seconds != 0 and self._context.stopping.wait(seconds):
            raise _ConnectionEndError(reset=False)


def _call_endpoint(match: Match, request: ApiRequest) -> ApiResponse:
    try:
        return match.endpoint(request)
    except ApiError as error:
        return ApiResponse.of_error(error)


def _fault_offset(fault: Fault | None, length: int) -> int | None:
    """Return the offset of a fault in a body, in bytes; at most the length of the body."""
    if fault is None:
        return None
    if fault.head:
        return 0
    return length // 2 if fault.at_byte is None else min(fault.at_byte, length)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
