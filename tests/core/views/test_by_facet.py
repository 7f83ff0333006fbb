import pytest

from histfs.core.times import ALWAYS, Span, Zone
from histfs.core.views import ByFacet, ByVoice
from histfs.core.waiting import Waiter
from tests.core.fakes import IndexCall, TableIndex
from tests.support.memory import record

UTC = Zone("UTC")


@pytest.fixture
def view() -> ByFacet:
    return ByVoice(UTC)


@pytest.fixture
def index() -> TableIndex:
    return TableIndex(
        [
            record("a", 100, voice="first-rachel", voice_name="Rachel"),
            record("b", 200, voice="other-rachel", voice_name="Rachel"),
            record("c", 300, voice="first-rachel", voice_name="Rachel"),
            record("d", 400, voice="", voice_name=None),
            record("e", 500, voice="adam", voice_name="Adam"),
        ]
    )


def keys(view: ByFacet, index: TableIndex, name: str) -> list[str]:
    return [listed.key for listed in view.items((name,), index)]


def test_every_value_has_a_directory(view, index):
    expected = ["(no voice)", "Adam", "Rachel", "Rachel (other-ra)"]
    assert view.subdirectories((), index) == expected


def test_a_directory_holds_the_items_of_its_value_oldest_first(view, index):
    assert keys(view, index, "Rachel") == ["a", "c"]
    assert keys(view, index, "Rachel (other-ra)") == ["b"]
    assert keys(view, index, "(no voice)") == ["d"]
    assert keys(view, index, "Nobody") == []


def test_a_directory_is_as_new_as_its_newest_item(view, index):
    assert view.newest(("Rachel",), index) == 300
    assert view.newest((), index) == 500
    assert view.newest(("Nobody",), index) is None


def test_the_voiceless_have_no_directory_while_there_are_none(view, index):
    index.discard("d")
    assert "(no voice)" not in view.subdirectories((), index)
    assert view.newest(("(no voice)",), index) is None


@pytest.mark.parametrize("where", [(), ("Rachel",), ("Nobody",)])
def test_it_needs_the_whole_history(view, index, where):
    assert view.span(where) == ALWAYS
    assert view.complete(where, index)
    assert view.knows_newest(where, index)
    index.unknown = Span(0, 1)
    assert not view.complete(where, index)
    assert not view.knows_newest(where, index)
    for ask in (view.ensure, view.ensure_newest):
        ask(where, index, Waiter(5))
    assert index.asked == [IndexCall("ensure", (ALWAYS,))] * 2


def test_a_name_never_comes_to_stand_for_another_value(view, index):
    view.subdirectories((), index)
    index.discard("a")
    index.discard("c")
    assert view.subdirectories((), index) == ["(no voice)", "Adam", "Rachel (other-ra)"]
    index.add(record("f", 50, voice="third-rachel", voice_name="Rachel"))
    assert keys(view, index, "Rachel") == []
    assert keys(view, index, "Rachel (third-ra)") == ["f"]


def test_a_value_that_comes_back_gets_its_old_name(view, index):
    gone = [index.rows["a"], index.rows["c"]]
    view.subdirectories((), index)
    for row in gone:
        index.discard(row.item.key)
    view.subdirectories((), index)
    index.add(*gone)
    assert keys(view, index, "Rachel") == ["a", "c"]


def test_a_voice_that_is_renamed_keeps_its_directory_while_mounted(view, index):
    view.subdirectories((), index)
    index.add(record("g", 600, voice="adam", voice_name="Adam the Second"))
    assert keys(view, index, "Adam") == ["e", "g"]


def test_a_name_never_comes_to_stand_for_another_value_in_another_mount_either(view, index):
    view.subdirectories((), index)
    index.discard("a")
    index.discard("c")
    again = ByVoice(UTC)
    assert again.subdirectories((), index) == ["(no voice)", "Adam", "Rachel (other-ra)"]
