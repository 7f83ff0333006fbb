"""Which hosts are this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself: localhost, 127.0.0.0/8 or ::1.

    Args:
        host: a name or an address as it stands in a URL, without brackets.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
