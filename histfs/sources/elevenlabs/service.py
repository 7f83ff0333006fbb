"""The ElevenLabs API as a `Service`: addresses, credential, and what ``histfs doctor`` checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from histfs.core.service import CheckResult, Credential, Service
from histfs.sources.elevenlabs.key_variables import ALIASES, VARIABLE

if TYPE_CHECKING:
    from histfs.core.source_context import SourceContext

#: The base URL of each region of the API. An account, and so its key, belongs to one of them.
REGIONS = {
    "global": "https://api.elevenlabs.io",
    "us": "https://api.us.elevenlabs.io",
    "eu": "https://api.eu.residency.elevenlabs.io",
    "in": "https://api.in.residency.elevenlabs.io",
    "sg": "https://api.sg.residency.elevenlabs.io",
}


def _checks(context: SourceContext) -> Iterable[CheckResult]:
    # Imported when they are needed: the command line imports this module for its options.
    from histfs.sources.elevenlabs.checks import check_server  # noqa: PLC0415

    return check_server(context)


def _permissions(context: SourceContext) -> Iterable[CheckResult]:
    from histfs.sources.elevenlabs.permissions import try_permissions  # noqa: PLC0415

    return try_permissions(context)


KEY = Credential(
    variable=VARIABLE,
    systemd="elevenlabs-api-key",
    aliases=ALIASES,
    page="https://elevenlabs.io/app/settings/api-keys",
)
ELEVENLABS = Service(
    name="elevenlabs",
    base_url=REGIONS["global"],
    regions=REGIONS,
    credential=KEY,
    root="history",
    checks=_checks,
    permissions=_permissions,
)
