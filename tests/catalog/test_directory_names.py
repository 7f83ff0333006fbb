"""The names of directories outlive a mount: none comes to stand for another voice."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from histfs.catalog import erasure
from histfs.core.times import ALWAYS, Zone
from histfs.core.views import ByFacet, ByVoice
from tests.support.memory import record


class ByVoiceToo(ByFacet):
    """A view of another package."""

    name, facet, nothing = "by-speaker", "voice", "Rachel"


def put(store, *rows):
    store.replace(ALWAYS, sorted(rows, key=lambda row: -row.item.date))


def spoken(key, date, voice, name="Rachel"):
    return record(key, date, voice=voice, voice_name=name)


def mounted(store, view=ByVoice):
    """Return what a new mount shows: keys by directories."""
    view = view(Zone("UTC"))
    return shown(view, store)


def shown(view, store):
    return {
        name: [listed.key for listed in view.items((name,), store)]
        for name in view.subdirectories((), store)
    }


FIRST, SECOND = spoken("a", 1, "first-rachel"), spoken("b", 2, "other-rachel")
FIRST_AGAIN = spoken("c", 3, "first-rachel")
BOTH = {"Rachel": ["a", "c"], "Rachel (other-ra)": ["b"]}


def test_two_voices_of_one_name_keep_their_directories_when_the_oldest_clip_goes(open_store):
    store = open_store()
    put(store, FIRST, SECOND, FIRST_AGAIN)
    assert mounted(store) == BOTH
    put(store, SECOND, FIRST_AGAIN)
    store.close()
    assert mounted(open_store()) == {"Rachel": ["c"], "Rachel (other-ra)": ["b"]}


def test_the_name_of_a_voice_that_is_gone_is_not_given_to_another_one(open_store):
    store = open_store()
    put(store, FIRST, SECOND, FIRST_AGAIN)
    assert mounted(store) == BOTH
    put(store, SECOND)
    store.close()
    store = open_store()
    assert mounted(store) == {"Rachel (other-ra)": ["b"]}
    put(store, SECOND, spoken("d", 0, "third-rachel"))
    assert mounted(store) == {"Rachel (other-ra)": ["b"], "Rachel (third-ra)": ["d"]}
    put(store, SECOND, FIRST_AGAIN)
    assert mounted(store) == {"Rachel": ["c"], "Rachel (other-ra)": ["b"]}


def test_two_mounts_of_one_catalog_agree(open_store):
    one, other = open_store(), open_store()
    first, second = ByVoice(Zone("UTC")), ByVoice(Zone("UTC"))
    put(one, SECOND)
    assert shown(first, one) == {"Rachel": ["b"]}
    put(other, FIRST, SECOND, FIRST_AGAIN)
    assert shown(second, other) == {"Rachel": ["b"], "Rachel (first-ra)": ["a", "c"]}
    assert shown(first, one) == shown(second, other)


def test_names_that_are_given_at_once_are_given_once(open_store):
    stores = [open_store() for _ in range(4)]
    put(stores[0], *(spoken(f"k{n}", n, f"voice-{n:03}-of-many") for n in range(50)))
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(mounted, stores))
    assert views[0]["Rachel"] == ["k0"]
    assert len(views[0]) == 50
    assert views == [views[0]] * 4


def test_a_voice_that_is_renamed_has_its_new_name_after_the_next_mount_and_keeps_the_old_one(
    open_store,
):
    store = open_store()
    running = ByVoice(Zone("UTC"))
    put(store, FIRST, SECOND)
    assert set(shown(running, store)) == {"Rachel", "Rachel (other-ra)"}
    renamed = spoken("c", 3, "first-rachel", "Ruth")
    put(store, FIRST, SECOND, renamed)
    assert set(shown(running, store)) == {"Rachel", "Rachel (other-ra)"}
    after = {"Ruth": ["a", "c"], "Rachel (other-ra)": ["b"]}
    assert mounted(open_store()) == after
    assert shown(running, store) == after
    put(store, FIRST, SECOND, renamed, spoken("d", 4, "third-rachel"))
    assert set(mounted(store)) == {"Ruth", "Rachel (other-ra)", "Rachel (third-ra)"}
    # The voice gets its old name back, and no other voice does.
    put(store, FIRST, SECOND, renamed, spoken("e", 5, "first-rachel", "Rachel"))
    assert mounted(store) == {"Rachel": ["a", "c", "e"], "Rachel (other-ra)": ["b"]}


def test_each_view_has_names_of_its_own(store):
    put(store, FIRST, SECOND)
    assert mounted(store, ByVoiceToo) == {"Rachel (first-ra)": ["a"], "Rachel (other-ra)": ["b"]}
    assert mounted(store) == {"Rachel": ["a"], "Rachel (other-ra)": ["b"]}
    # Without a write, and so without a wait for the lock, when all have a name.
    with closing(sqlite3.connect(store._path)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert set(mounted(store)) == {"Rachel", "Rachel (other-ra)"}


def test_a_catalog_from_before_gets_its_names_when_it_is_first_looked_at(open_store, path):
    store = open_store()
    put(store, FIRST, SECOND, FIRST_AGAIN)
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE directories")
        db.execute("DROP TABLE taken")
    store = open_store()
    assert store.total() == 3
    assert mounted(store) == BOTH
    put(store, SECOND)
    assert mounted(store) == {"Rachel (other-ra)": ["b"]}


def test_the_name_of_a_voice_that_is_gone_is_not_in_the_file(open_store, path):
    store = open_store()
    put(store, spoken("a", 1, "voice-of-zebra", "Zebrastimme"), SECOND)
    assert "Zebrastimme" in mounted(store)
    put(store, SECOND)
    store.close()
    assert erasure.clean(path)
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"Rachel" in content
    assert b"Zebra" not in content
    assert b"voice-of-zebra" not in content


def test_the_name_of_a_voice_that_is_purged_may_be_given_again(open_store):
    store = open_store()
    put(store, FIRST, SECOND)
    mounted(store)
    put(store, SECOND)
    store.release_names()
    assert mounted(store) == {"Rachel (other-ra)": ["b"]}, "its own name is no other's"
    put(store, SECOND, spoken("d", 4, "third-rachel"))
    assert mounted(store) == {"Rachel": ["d"], "Rachel (other-ra)": ["b"]}


def test_of_two_voices_that_differ_in_case_alone_the_later_one_has_its_id_behind_it(open_store):
    store = open_store()
    put(store, FIRST, spoken("b", 2, "other-rachel", "RACHEL"))
    assert mounted(store) == {"Rachel": ["a"], "RACHEL (other-ra)": ["b"]}
    put(store, spoken("b", 2, "other-rachel", "RACHEL"))
    assert mounted(open_store()) == {"RACHEL (other-ra)": ["b"]}
    put(store, spoken("b", 2, "other-rachel", "RACHEL"), spoken("c", 3, "third", "rachel"))
    assert set(mounted(store)) == {"RACHEL (other-ra)", "rachel (third)"}


def test_names_that_no_target_takes_are_replaced_by_the_mount_after_an_update(open_store, path):
    store = open_store()
    put(store, FIRST, spoken("b", 2, "other-rachel", "RACHEL"), spoken("c", 3, "third", "Who?"))
    mounted(store)
    store.close()
    with closing(sqlite3.connect(path)) as db, db:  # as an earlier version left them
        db.execute("UPDATE directories SET name = 'RACHEL' WHERE value = 'other-rachel'")
        db.execute("UPDATE directories SET name = 'Who?' WHERE value = 'third'")
        db.execute("DELETE FROM taken")
    named = {"Rachel": ["a"], "RACHEL (other-ra)": ["b"], "Who-": ["c"]}
    assert mounted(open_store()) == named
    assert mounted(open_store()) == named
