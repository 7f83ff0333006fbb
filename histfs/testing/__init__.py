"""Contract tests for authors of plugins, with an index, an audio store and items in memory.

A test class inherits a contract and overrides its fixtures:

    class TestByLength(ViewContract):
        @pytest.fixture
        def make(self):
            return ByLength

`MemoryIndex` and `MemoryAudio` stand in for the catalog and for the cache of audio. Needs pytest
(``pip install histfs[testing]``); nothing of histfs imports this.
"""

import pytest

pytest.register_assert_rewrite(
    "histfs.testing.file_contract", "histfs.testing.source_contract", "histfs.testing.view_contract"
)

from histfs.testing.file_contract import FileContract  # noqa: E402
from histfs.testing.memory_audio import MemoryAudio  # noqa: E402 - asserts are rewritten from here on
from histfs.testing.memory_index import MemoryIndex  # noqa: E402
from histfs.testing.sample_items import describe_sample, sample, sample_records  # noqa: E402
from histfs.testing.source_contract import SourceContract, everything  # noqa: E402
from histfs.testing.view_contract import ViewContract  # noqa: E402

__all__ = [
    "FileContract",
    "MemoryAudio",
    "MemoryIndex",
    "SourceContract",
    "ViewContract",
    "describe_sample",
    "everything",
    "sample",
    "sample_records",
]
