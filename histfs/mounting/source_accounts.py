"""Whose items a source lists: the server, the key, and the directory of that account in the cache.

The settings of a mount are for its primary service (`plugins.primary_service`). A source of another
service has its own: ``base-url``, ``api-key-file`` and ``api-key-command`` in its table of the
configuration file, else what its service declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from histfs.core.secret import Secret
from histfs.keys import credentials_directory, find_key, process_key
from histfs.mounting.cache_layout import ACCOUNT_SOURCE, account_hash
from histfs.plugins import Plugin
from histfs.settings import Settings, SettingsError, parse_base_url


class SourceAccount(NamedTuple):
    """The account of one source.

    Attributes:
        base_url: scheme and host of the server.
        key: the API key; empty for a service without one.
        id: names the account in the trash, and in the cache.
        slot: the directory of the source's catalog in the cache of the mount, below ``sources``;
            None for the account's own directory.
    """

    base_url: str
    key: Secret
    id: str
    slot: str | None


def account_of(plugin: Plugin, settings: Settings) -> SourceAccount:
    """Return the account of a source.

    Args:
        plugin: the source.
        settings: the settings of the mount.

    Raises:
        SettingsError: the source's own settings can't be used, or there is no key.
    """
    service = plugin.service
    if service is settings.service or service.credential is None:
        shared = account_hash(settings.service, settings.base_url, settings.key)
        slot = None if plugin.own and plugin.name == ACCOUNT_SOURCE else plugin.name
        if service is settings.service:
            return SourceAccount(settings.base_url, settings.key, shared, slot)
        return SourceAccount(service.base_url, Secret(""), shared, slot)
    options = settings.source_options.get(plugin.name, {})
    base_url = _text(plugin, options, "base-url") or service.base_url
    if base_url:
        base_url = parse_base_url(base_url)
    file = _text(plugin, options, "api-key-file")
    key = find_key(
        service.credential,
        Path(file).expanduser() if file else None,
        _text(plugin, options, "api-key-command"),
        credentials_directory(),
        process_key(service.credential),
        advice=f"api-key-file or api-key-command in [sources.{plugin.name}]",
    )
    account = account_hash(service, base_url, key)
    return SourceAccount(base_url, key, account, f"{plugin.name}@{account}")


def source_name(slot: str) -> str:
    """Return the name of the source that has a directory in the cache."""
    return slot.partition("@")[0]


def _text(plugin: Plugin, options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name, options.get(name.replace("-", "_")))
    if value is not None and not isinstance(value, str):
        raise SettingsError(f"[sources.{plugin.name}]: {name} is not a text")
    return value
