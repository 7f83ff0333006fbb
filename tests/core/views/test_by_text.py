"""Takes: generations of one text side by side."""

from __future__ import annotations

from histfs.core.times import Zone
from histfs.core.views import ByText
from tests.core.fakes import TableIndex
from tests.support.memory import record


def test_generations_of_one_text_share_a_directory_whatever_their_case_and_spaces():
    records = [
        record("a", 10, "Hello  world"), record("b", 20, "hello world"),
        record("c", 30, "Hello world, again"), record("d", 40, ""),
    ]  # fmt: skip
    index, view = TableIndex(records), ByText(Zone("UTC"))
    names = view.subdirectories((), index)
    assert len(names) == 2
    shared = next(name for name in names if name.startswith("hello-world_"))
    assert [listed.key for listed in view.items((shared,), index)] == ["a", "b"]
    assert view.home(records[3].item, index) is None
