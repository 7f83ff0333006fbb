import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from histfs.catalog import schema
from histfs.catalog.catalog_store import CatalogStore
from histfs.catalog.coverage import Coverage
from histfs.core.errors import CacheFailed, NoSpace
from histfs.core.times import ALWAYS, Span
from tests.support.memory import record


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def set_aside(path) -> list:
    return sorted(path.parent.glob("*.unusable"))


def fill(store: CatalogStore) -> None:
    store.replace(ALWAYS, [record("a", 1)])


@pytest.mark.usefixtures("open_umask")
def test_nobody_else_can_read_the_catalog_whatever_the_umask(open_store, path):
    fill(open_store())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes[path.name] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_catalog_is_opened_again_with_all_that_is_in_it(open_store, path, caplog):
    fill(open_store())
    assert open_store().total() == 1
    assert set_aside(path) == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    "content",
    [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["text", "torn"],
)
def test_a_broken_file_is_set_aside_and_a_new_one_begun(open_store, path, content):
    path.write_bytes(content)
    store = open_store()
    assert store.total() == 0
    fill(store)
    assert [file.read_bytes() for file in set_aside(path)] == [content]


@pytest.mark.parametrize("version", [schema.VERSION - 1, schema.VERSION + 1, -1])
def test_a_file_of_another_version_is_set_aside_with_a_warning(open_store, path, caplog, version):
    first = open_store()
    fill(first)
    first.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store = open_store()
    assert store.total() == 0
    assert store.coverage() == Coverage()
    (aside,) = set_aside(path)
    (warning,) = caplog.messages
    assert str(path) in warning
    assert aside.name in warning
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("SELECT key FROM items").fetchall() == [("a",)]


def test_a_file_of_the_first_version_is_set_aside(open_store, path):
    """The schema before the covered spans had times and the raw objects were packed."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE items (key TEXT PRIMARY KEY, raw TEXT NOT NULL) STRICT;
            CREATE TABLE windows (start INTEGER PRIMARY KEY, "end" INTEGER NOT NULL) STRICT;
            INSERT INTO items VALUES ('a', '{}');
            PRAGMA user_version = 1;
        """)
    fill(open_store())
    (aside,) = set_aside(path)
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("SELECT key FROM items").fetchall() == [("a",)]
    assert open_store().total() == 1
    assert len(set_aside(path)) == 1


def test_another_programs_database_is_set_aside(open_store, path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE items (n)")
    assert open_store().total() == 0
    assert len(set_aside(path)) == 1


def test_a_file_from_before_some_tables_were_added_goes_on_with_all_that_is_in_it(open_store, path):
    first = open_store()
    fill(first)
    first.set_audio("a", 123, None)
    first.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE numbers")
        db.execute("DROP TABLE endings")
    second = open_store()
    second.set_extension("a", "opus")
    second.replace(ALWAYS, [record("b", 2), record("a", 1)])
    assert [item.key for item in open_store().between(ALWAYS)] == ["a", "b"]
    assert second.raw("b", 2) == record("b", 2).raw
    assert second.fingerprint("a").size == 123
    assert second.find("a", 1).extension == "opus"
    assert set_aside(path) == []


def test_an_empty_file_becomes_a_catalog(open_store, path):
    path.touch()
    assert open_store().total() == 0
    assert set_aside(path) == []


def test_mounts_that_start_at_the_same_time_share_one_catalog(path):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: CatalogStore(path), range(4)))
    fill(stores[0])
    assert [store.total() for store in stores] == [1, 1, 1, 1]
    assert set_aside(path) == []
    for store in stores:
        store.close()


@pytest.mark.parametrize("place", ["missing/catalog.sqlite", "."])
def test_a_catalog_that_can_not_be_made_fails_as_the_cache(tmp_path, place):
    with pytest.raises(CacheFailed):
        CatalogStore(tmp_path / place)


def test_a_disk_that_is_full_when_it_is_opened_costs_nothing_of_it(open_store, path, monkeypatch):
    fill(open_store())

    def full(_path):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(NoSpace):
        patch.setattr(schema, "connect", full)
        open_store()
    assert set_aside(path) == []
    assert open_store().total() == 1


def test_damage_that_shows_later_has_the_file_set_aside_the_next_time(path, caplog):
    store = CatalogStore(path)
    store.replace(ALWAYS, [record(f"{n}", 9999 - n) for n in range(2000)])
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 8)
        file.write(os.urandom(size // 2))
    damaged = CatalogStore(path)
    with pytest.raises(CacheFailed, match="mount again"):
        list(damaged.between(ALWAYS))
    damaged.close()
    anew = CatalogStore(path)
    assert list(anew.between(ALWAYS)) == []
    anew.close()
    assert "set aside" in caplog.text
    again = CatalogStore(path)
    again.close()
    assert len(list(path.parent.glob("*.unusable"))) == 1


def test_of_files_that_were_set_aside_the_last_one_is_kept(open_store, path):
    other = path.with_name("other.sqlite.20260101T000000.unusable")
    other.touch()
    for number in range(3):
        path.with_name(f"{path.name}.2026010{number}T000000.unusable").write_bytes(b"old")
        path.write_bytes(b"broken %d" % number * 1000)
        open_store().close()
    (last,) = [file for file in set_aside(path) if file != other]
    assert last.read_bytes().startswith(b"broken 2")
    assert other.exists()


def test_the_journal_stays_small_however_much_is_written(open_store, path):
    store, largest = open_store(), 0
    journal = path.with_name(f"{path.name}-wal")
    for number in range(40):
        end = ALWAYS.end - number
        records = [record(f"{number}-{n}" * 4, n, "some words " * 9) for n in reversed(range(300))]
        store.replace(Span(0, end), records)
        largest = max(largest, journal.stat().st_size)
    assert 0 < largest < 8_000_000


def test_connections_that_many_threads_needed_are_not_kept(open_store):
    store = open_store()
    together = threading.Barrier(30)

    def read(_) -> None:
        with store.files._lend() as db:
            db.execute("SELECT 1")
            together.wait(10)

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(read, range(30)))
    assert 0 < len(store.files._idle) <= 8
