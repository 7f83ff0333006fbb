"""Check API keys and their permissions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from histfs.simulator.api_errors import ApiError, detail_body

KeyState = Literal["right", "wrong", "none"]

PERMISSIONS = ("speech_history_read", "speech_history_write", "convai_read", "convai_write")

_UNAUTHORIZED = "unauthorized"


class Access:
    """Check the keys of requests.

    Threads: any thread may call any method; the permissions are replaced in one assignment.

    Args:
        api_key: The account's key.
        limited_keys: Other keys with their permissions.
        permissions: The permissions of the account's key; None is all of them.

    Raises:
        ValueError: There is no such permission.
    """

    def __init__(
        self,
        api_key: str,
        limited_keys: Mapping[str, frozenset[str]],
        permissions: frozenset[str] | None = None,
    ) -> None:
        self._api_key = api_key
        self._permissions: dict[str, frozenset[str] | None] = {**limited_keys, api_key: None}
        self.permissions = permissions

    @property
    def permissions(self) -> frozenset[str] | None:
        """The permissions of the account's key; None is all of them."""
        return self._permissions[self._api_key]

    @permissions.setter
    def permissions(self, permissions: frozenset[str] | None) -> None:
        unknown = (permissions or frozenset()) - set(PERMISSIONS)
        if unknown:
            raise ValueError(f"no such permission: {', '.join(sorted(unknown))}")
        self._permissions[self._api_key] = permissions

    def state(self, headers: Mapping[str, str]) -> KeyState:
        """Return whether a request has a key, and whether the key is known."""
        key = headers.get("xi-api-key")
        if not key:
            return "none"
        return "right" if key in self._permissions else "wrong"

    def redact(self, text: str, headers: Mapping[str, str]) -> str:
        """Replace every key, known or sent, in a text."""
        for key in {*self._permissions, headers.get("xi-api-key", "")} - {""}:
            text = text.replace(key, "(key)")
        return text

    def require(self, headers: Mapping[str, str], permission: str) -> None:
        """Refuse a request whose key lacks a permission.

        Args:
            headers: The request's headers.
            permission: The required permission, such as "speech_history_write".

        Raises:
            ApiError: 401, the API's answer.
        """
        key = headers.get("xi-api-key")
        if not key:
            if headers.get("authorization"):
                message = "Invalid authorization header. Use the header xi-api-key."
                raise _refusal("invalid_authorization_header", message)
            message = "Neither authorization header nor xi-api-key received, please provide one."
            raise _refusal("needs_authorization", message)
        if key not in self._permissions:
            raise _refusal("invalid_api_key", "Invalid API key")
        allowed = self._permissions[key]
        if allowed is not None and permission not in allowed:
            message = (
                f"The API key you used is missing the permission {permission} "
                "to execute this operation."
            )
            raise _refusal("missing_permissions", message, code="missing_permissions")


def _refusal(status: str, message: str, *, code: str = _UNAUTHORIZED) -> ApiError:
    return ApiError(401, detail_body(401, code, message, legacy_status=status))
