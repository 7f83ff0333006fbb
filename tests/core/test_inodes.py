"""Inodes are in the order of time, and no two nodes share one."""

import itertools
import stat

import pytest

from histfs.core.files import MetaFile
from histfs.core.inodes import TreeInodes
from histfs.core.path_nodes import ItemFileNode
from histfs.core.times import Zone
from histfs.core.views import ByDate
from histfs.core.waiting import Waiter
from tests.core.fakes import TableIndex
from tests.support.memory import record

#: Two keys of one number, found by trying.
TWINS = ("k646", "k4996")
T = 1_714_650_306


def entries(world, path):
    return world.tree.listdir(path, Waiter(5))


def all_inodes(world):
    return {path: world.stat(path).inode for path in ["", *world.walk()]}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("place", ["/by-date/2024/05/02", "/by-voice/Rachel"])
def test_a_directory_of_items_has_its_inodes_in_the_order_of_time(make_world, links, place):
    # Keys in the opposite order.
    world = make_world(*(record(f"k{99 - n}", T + n) for n in range(40)), links=links)
    inodes = [entry.inode for entry in entries(world, place)]
    assert len(inodes) == 40
    assert inodes == sorted(inodes)


def test_years_months_and_days_are_in_the_order_of_time(make_world):
    month = 31 * 86_400
    world = make_world(*(record(f"k{n}", 1_650_000_000 + n * month // 3) for n in range(90)))
    for path in ["/by-date", *(p for p in world.walk("/by-date") if p.count("/") in (2, 3))]:
        inodes = [entry.inode for entry in entries(world, path)]
        assert inodes == sorted(inodes), path


def test_the_files_of_an_item_follow_its_directory(make_world):
    world = make_world(*(record(f"k{n}", T) for n in range(30)))
    runs = []
    for entry in entries(world, "/by-date/2024/05/02"):
        files = [each.inode for each in entries(world, f"/by-date/2024/05/02/{entry.name}")]
        assert len(files) == 3
        assert entry.inode < min(files)
        runs.append((entry.inode, max(files)))
    assert all(last < first for (_, last), (first, _) in itertools.pairwise(sorted(runs)))


@pytest.mark.parametrize("links", [True, False])
def test_items_of_one_second_share_no_inode_even_if_their_numbers_are_equal(make_world, links):
    alone = TreeInodes(TableIndex(), ())
    inode = alone.items_in(ByDate(Zone("UTC")), ("by-date",), is_link=False)
    one, other = (inode(T, key) for key in TWINS)
    assert one == other
    records = [record(key, T) for key in (*TWINS, *(f"x{n}" for n in range(200)))]
    world = make_world(*records, links=links)
    found = all_inodes(world)
    files = [path for path in found if stat.S_ISREG(world.stat(path).kind)]
    distinct = {inode for path, inode in found.items() if path not in files}
    distinct |= {found[path] for path in files}
    nodes = len(found) - (0 if links else len(files) // 2)
    assert len(distinct) == nodes
    # Another mount finds the same, in whatever order it reads.
    again = make_world(*reversed(records), links=links)
    for path in reversed(found):
        assert again.stat(path).inode == found[path]


def test_a_change_in_another_time_moves_no_inode_and_one_nearby_is_seen(make_world):
    world = make_world(record(TWINS[1], T))
    before = all_inodes(world)
    world.index.add(record("far", T - 10**6))
    assert {path: world.stat(path).inode for path in before} == before
    world.index.add(record(TWINS[0], T))
    both = [entry.inode for entry in entries(world, "/by-date/2024/05/02")]
    assert len(set(both)) == 2


@pytest.mark.parametrize("date", [946_684_800, 2**32 - 1, 2**32, 10**11])
def test_an_inode_of_any_date_fits_into_63_bits(make_world, date):
    world = make_world(record("a", date))
    inodes = all_inodes(world).values()
    assert all(0 < inode < 2**63 for inode in inodes)


def test_files_of_other_names_have_inodes_of_their_own():
    inodes = TreeInodes(TableIndex([record("a", T), record("b", T)]), ())
    items = [record(key, T).item for key in ("a", "b")]
    names = ("meta.json", "text.txt", "audio.srt", "files/a", "files/b")
    nodes = [ItemFileNode(item, MetaFile, name) for item in items for name in names]
    assert len({inodes.file(node) for node in nodes}) == len(nodes)
