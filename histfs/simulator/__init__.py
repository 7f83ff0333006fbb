"""A local HTTP server that speaks ElevenLabs' history and conversations API, with sample data.

It serves `histfs simulate`, `histfs mount --demo`, the tests and the benchmarks, and needs nothing
but the standard library::

    with Simulator(Settings(items=1000)) as simulator:
        simulator.base_url, simulator.api_key     # for the client
        simulator.latency = 0.05                  # seconds before each answer
        simulator.faults.add(Fault("GET .*/audio", "cut", at_byte=1000, count=1))
        simulator.library.add(3)                  # three new items at the top
        simulator.conversations.add(1, status="in-progress")
        simulator.permissions = frozenset({"speech_history_read"})
        simulator.counts["GET /v1/history"]       # how often it was asked
"""

from histfs.simulator.access import PERMISSIONS
from histfs.simulator.clips import Clip
from histfs.simulator.conversations import ConversationQuery, Conversations
from histfs.simulator.counts import Record
from histfs.simulator.faults import Fault
from histfs.simulator.library import Library, ListQuery
from histfs.simulator.server import Simulator
from histfs.simulator.settings import DEFAULT_KEY, DEFAULT_NEWEST, Settings

__all__ = [
    "DEFAULT_KEY",
    "DEFAULT_NEWEST",
    "PERMISSIONS",
    "Clip",
    "ConversationQuery",
    "Conversations",
    "Fault",
    "Library",
    "ListQuery",
    "Record",
    "Settings",
    "Simulator",
]
