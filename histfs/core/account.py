"""What a source is given when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from histfs.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Account:
    """Whose items they are.

    Attributes:
        profile: the account's name on this machine.
        base_url: scheme and host of the API.
        key: the API key.
        timeout: seconds after which any request ends.
        connections: requests at once.
        options: the source's own table of the configuration file.
    """

    profile: str
    base_url: str
    key: Secret
    timeout: float
    connections: int
    options: Mapping[str, Any] = field(default_factory=dict)
