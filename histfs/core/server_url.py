"""The address of a server: read once, in one strict form, and judged by what was read.

Parsers of URLs differ in what they make of a backslash, of user information or of a number that
stands for an address. Whoever checks a URL with one parser and connects with another one may judge
a host that the key is never sent to. So only such URLs are taken as all parsers read alike, and the
host is judged in the form in which it is connected to.
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
#: The last label of a host that the resolver of the C library reads as a number (inet_aton(3)).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HOST_MAX = 253


class ServerUrl(NamedTuple):
    """The parts of a base URL, each in the one form in which it is used.

    Attributes:
        scheme: ``http`` or ``https``.
        host: a name in lower case or an address, without brackets, and without a dot at its end.
        port: the port that is given; None for the scheme's own.
        path: empty, or begins with a slash and does not end with one.
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
    """Read a base URL.

    Args:
        text: the URL.

    Raises:
        ValueError: it is no http or https URL, holds more than scheme, host, port and path, or is
            written in a way that two parsers may read differently; the message says which part.
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
    """Say whether a host is this machine itself: localhost, 127.0.0.0/8 or ::1.

    Args:
        host: a name or an address as it stands in a URL, without brackets.
    """
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # ::ffff:127.0.0.1 is connected to as 127.0.0.1; Python says so from 3.13 on.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _host(text: str) -> str:
    if text.startswith("["):
        # Raises ValueError, with a message that names the address.
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
            # 127.1, 0 or 2130706433: connected to, but not as what most parsers take them for.
            raise ValueError("its host is a number: give all four parts of the address") from None
    return host
