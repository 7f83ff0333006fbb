"""The base URL of a server: parsed once, strictly, and checked in its parsed form.

URL parsers differ in how they read a backslash, user information or a number as an address. A check
with one parser and a connection with another may concern different hosts, and the key goes to the
second one. So only URLs that all parsers read alike are accepted, and the host is checked in the
form that is connected to.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*)/*",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
#: A last label with which the C library reads a host as a number (inet_aton(3)).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HOST_MAX = 253


class ServerUrl(NamedTuple):
    """The parts of a base URL in canonical form.

    Attributes:
        scheme: ``http`` or ``https``.
        host: a name in lower case or an address, without brackets and without a trailing dot.
        port: the explicit port; None for the default of the scheme.
        path: empty, or with a leading and without a trailing slash.
    """

    scheme: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def parse_server_url(text: str) -> ServerUrl:
    """Parse a base URL.

    Args:
        text: the URL.

    Raises:
        ValueError: it is no http or https URL, has more than scheme, host, port and path, or is
            ambiguous between parsers; the message says which part.
    """
    if not text.isascii():
        raise ValueError("it is not plain ASCII: give a host in its xn-- form")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("it holds more, or less, than http or https, a host, a port and a path")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError("its port is not between 1 and 65535")
    if any(part in (".", "..") for part in match["path"].split("/")):
        raise ValueError("its path has . or .. in it")
    return ServerUrl(match["scheme"].lower(), _host(match["host"].lower()), port, match["path"])


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: localhost, 127.0.0.0/8 or ::1.

    Args:
        host: a name or an address as in a URL, without brackets.
    """
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # ::ffff:127.0.0.1 connects to 127.0.0.1; `is_loopback` knows that from Python 3.13 on.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _host(text: str) -> str:
    if text.startswith("["):
        # Raises ValueError with a message that names the address.
        ipaddress.IPv6Address(text[1:-1])
        return text[1:-1]
    host = text.removesuffix(".")
    labels = host.split(".")
    if len(host) > _HOST_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("its host is not a name")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            # 127.1, 0 or 2130706433: the C library accepts them, most parsers read a name.
            raise ValueError("its host is a number: give all four parts of the address") from None
    return host
