"""The account of a source of another service: several accounts of one process find its key."""

from __future__ import annotations

import os
from pathlib import Path

from histfs.core.secret import Secret
from histfs.core.service import Credential, Service
from histfs.mounting.source_accounts import account_of
from histfs.plugins import SOURCES, Plugin
from histfs.settings import Settings
from histfs.sources.elevenlabs.service import ELEVENLABS

TOKEN = "DICTAPHONE_TOKEN"
DICTAPHONE = Service("dictaphone", credential=Credential(TOKEN, "dictaphone-token"))


def settings(tmp_path: Path, key: str) -> Settings:
    return Settings(
        base_url="http://127.0.0.1:1", key=Secret(key), cache_dir=tmp_path, service=ELEVENLABS
    )


def test_each_account_of_a_process_finds_the_key_of_a_second_service(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "token")
    plugin = Plugin(SOURCES, "dictations", "recordings 1.0", None, service=DICTAPHONE)
    accounts = [account_of(plugin, settings(tmp_path, key)) for key in ("work", "home")]
    assert [account.key.reveal() for account in accounts] == ["token", "token"]
    assert TOKEN not in os.environ
