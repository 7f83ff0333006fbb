import pytest

from histfs.core.times import ALWAYS
from histfs.core.views import ByFacet
from tests.core.fakes import TableIndex
from tests.support.memory import record


@pytest.fixture
def view() -> ByFacet:
    return ByFacet("by-voice", "voice", "(no voice)")


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


def ids(view: ByFacet, index: TableIndex, name: str) -> list[str]:
    return [item.id for item in view.items((name,), index)]


def test_every_value_has_a_directory(view, index):
    expected = ["(no voice)", "Adam", "Rachel", "Rachel (other-ra)"]
    assert view.subdirectories((), index) == expected


def test_a_directory_holds_the_items_of_its_value_oldest_first(view, index):
    assert ids(view, index, "Rachel") == ["a", "c"]
    assert ids(view, index, "Rachel (other-ra)") == ["b"]
    assert ids(view, index, "(no voice)") == ["d"]
    assert ids(view, index, "Nobody") == []


def test_every_item_stands_in_its_home(view, index):
    for row in index.rows.values():
        (name,) = view.home(row.item, index)
        assert row.item in view.items((name,), index)


def test_a_directory_is_as_new_as_its_newest_item(view, index):
    assert view.newest(("Rachel",), index) == 300
    assert view.newest((), index) == 500
    assert view.newest(("Nobody",), index) is None


def test_without_items_there_is_nothing_to_show(view):
    index = TableIndex()
    assert view.subdirectories((), index) == []
    assert view.newest((), index) is None


def test_the_voiceless_have_no_directory_while_there_are_none(view, index):
    index.forget(index.rows["d"].item)
    assert "(no voice)" not in view.subdirectories((), index)
    assert view.newest(("(no voice)",), index) is None


def test_it_needs_the_whole_history(view):
    assert view.span(()) == view.span(("Rachel",)) == ALWAYS


def test_a_name_never_comes_to_stand_for_another_value(view, index):
    view.subdirectories((), index)
    index.forget(index.rows["a"].item)
    index.forget(index.rows["c"].item)
    assert view.subdirectories((), index) == ["(no voice)", "Adam", "Rachel (other-ra)"]
    index.add(record("f", 50, voice="third-rachel", voice_name="Rachel"))
    assert ids(view, index, "Rachel") == []
    assert ids(view, index, "Rachel (third-ra)") == ["f"]


def test_a_value_that_comes_back_gets_its_old_name(view, index):
    gone = [index.rows["a"], index.rows["c"]]
    view.subdirectories((), index)
    for row in gone:
        index.forget(row.item)
    view.subdirectories((), index)
    index.add(*gone)
    assert ids(view, index, "Rachel") == ["a", "c"]


def test_a_voice_that_is_renamed_keeps_its_directory_while_mounted(view, index):
    view.subdirectories((), index)
    index.add(record("g", 600, voice="adam", voice_name="Adam the Second"))
    assert ids(view, index, "Adam") == ["e", "g"]


def test_two_mounts_give_the_same_names(view, index):
    view.subdirectories((), index)
    again = ByFacet("by-voice", "voice", "(no voice)")
    assert again.subdirectories((), index) == view.subdirectories((), index)
    assert ids(again, index, "Rachel") == ids(view, index, "Rachel")
