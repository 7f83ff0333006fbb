"""For authors of plugins: the contracts that histfs holds a plugin to, and what it is tried with.

A test class inherits a contract and says what is to be tested:

    class TestByLength(ViewContract):
        @pytest.fixture
        def make(self):
            return ByLength

`MemoryIndex` and `MemoryAudio` stand in for the catalog and for the cache of audio. Needs pytest
(``pip install histfs[testing]``); nothing of histfs imports this.
"""

import pytest

pytest.register_assert_rewrite(
    "histfs.testing.files", "histfs.testing.sources", "histfs.testing.views"
)

from histfs.testing.audio import MemoryAudio  # noqa: E402 - asserts are rewritten from here on
from histfs.testing.files import FileContract  # noqa: E402
from histfs.testing.index import MemoryIndex  # noqa: E402
from histfs.testing.samples import describe_sample, sample, sample_records  # noqa: E402
from histfs.testing.sources import SourceContract, everything  # noqa: E402
from histfs.testing.views import ViewContract  # noqa: E402

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
