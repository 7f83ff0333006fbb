"""A service with a key of its own: each account is a folder with its token in ``.token``.

Without ElevenLabs it stands in the root of a mount: ``histfs mount --sources dictations DIR``.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from pathlib import Path

from histfs.core.errors import KeyRefused
from histfs.core.service import CheckResult, Credential, Service, source_of
from histfs.core.source_context import SourceContext
from recordings.source import Recordings, folder_of


def _account(context: SourceContext) -> Path:
    """Return the folder of the account that a token belongs to.

    Raises:
        KeyRefused: no account has it.
    """
    token = context.key.reveal().encode()
    for file in sorted(folder_of(context, "dictations").glob("*/.token")):
        if hmac.compare_digest(file.read_bytes().strip(), token):
            return file.parent
    raise KeyRefused("no account has this token")


def _checks(context: SourceContext) -> Iterator[CheckResult]:
    yield CheckResult("dictations", "ok", f"the account {_account(context).name}")


DICTAPHONE = Service(
    "dictaphone",
    credential=Credential("DICTAPHONE_TOKEN", "dictaphone-token"),
    root="dictations",
    checks=_checks,
)


@source_of(DICTAPHONE)
def open_dictations(context: SourceContext) -> Recordings:
    """Return the dictations of the account that the token belongs to."""
    return Recordings(_account(context))
