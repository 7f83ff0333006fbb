"""On a link that all connections share, a reader gets it; bytes are counted, not seconds."""

from __future__ import annotations

import contextlib

import pytest

from histfs.core.item_row import ItemRow
from histfs.core.secret import Secret
from histfs.mounting import open_tree
from histfs.settings import Settings
from histfs.simulator import Simulator, SimulatorSettings
from histfs.sources.elevenlabs.service import ELEVENLABS
from tests.support.shared_link import SharedLink

#: Bytes of a clip, and bytes a second of the link.
SIZE, RATE = 400_000, 400_000
CONNECTIONS = 8
#: The byte of a clip at which its reader leaves it.
SKIPPED_AT = 60_000
#: The most bytes that others may receive from the request for a clip on: what the connection of
#: the one that was read last is reading, its window, and what the proxy has taken for it.
UNDER_WAY = 300_000


@pytest.mark.parametrize("chunked", [True, False], ids=["unknown length", "known length"])
def test_skipped_clips_and_those_read_ahead_leave_the_link_to_the_reader(tmp_path, chunked):
    settings = SimulatorSettings(
        items=40, days=3, clip_bytes=SIZE, conversations=0, chunked=chunked
    )
    with Simulator(settings) as simulator, SharedLink(simulator.base_url, RATE) as link:
        account = Settings(
            base_url=link.url,
            key=Secret(simulator.api_key, "the test"),
            cache_dir=tmp_path,
            timeout=60.0,
            service=ELEVENLABS,
            connections=CONNECTIONS,
        )
        with open_tree(account) as tree:
            rows = sorted(tree.items(), key=lambda row: row.path)
            for row in rows[:5]:
                with contextlib.closing(tree.stream(_audio(row))) as stream:
                    assert stream.read(SKIPPED_AT, 1, tree.waiter())
            wanted = rows[30]
            with tree.open(_audio(wanted)) as file:
                assert file.read() == bytes(simulator.library.clip(wanted.id))
            others = link.received - link.before[wanted.id]
            assert others.pop(wanted.id) > SIZE / 2
            assert others.total() < UNDER_WAY, others
            # Nothing is thrown away: what was begun is whole in the end, and was asked for once.
            for row in rows[:5]:
                with tree.open(_audio(row)) as file:
                    assert file.read() == bytes(simulator.library.clip(row.id))
            assert set(link.requests.values()) == {1}
            assert simulator.counts.max_in_flight <= CONNECTIONS


def _audio(row: ItemRow) -> str:
    return f"{row.path}/audio.mp3"
