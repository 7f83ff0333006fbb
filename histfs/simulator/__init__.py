"""Simulate ElevenLabs' history and conversations API: a local HTTP server with sample data.

`histfs simulate`, `histfs mount --demo`, the tests and the benchmarks use it. It needs only the
standard library::

    with Simulator(SimulatorSettings(items=1000)) as simulator:
        simulator.base_url, simulator.api_key     # for the client
        simulator.latency = 0.05                  # seconds before each answer
        simulator.faults.add(Fault("GET .*/audio", "cut", at_byte=1000, count=1))
        simulator.library.add(3)                  # three new items at the top
        simulator.conversations.add(1, status="in-progress")
        simulator.permissions = frozenset({"speech_history_read"})
        simulator.counts["GET /v1/history"]       # the number of these requests
"""

from histfs.simulator.clip_bytes import ClipBytes
from histfs.simulator.conversation_store import ConversationQuery, ConversationStore
from histfs.simulator.fault_injection import Fault
from histfs.simulator.history_store import HistoryStore, ListQuery
from histfs.simulator.key_access import PERMISSIONS
from histfs.simulator.request_counts import RequestRecord
from histfs.simulator.server import Simulator
from histfs.simulator.simulator_settings import DEFAULT_KEY, DEFAULT_NEWEST, SimulatorSettings

__all__ = [
    "DEFAULT_KEY",
    "DEFAULT_NEWEST",
    "PERMISSIONS",
    "ClipBytes",
    "ConversationQuery",
    "ConversationStore",
    "Fault",
    "HistoryStore",
    "ListQuery",
    "RequestRecord",
    "Simulator",
    "SimulatorSettings",
]
