import stat

from hypothesis import given
from hypothesis import strategies as st

from histfs.core.nodes import (
    ROOT_INODE,
    BytesFile,
    directory,
    inode_of,
    inodes_of,
)
from histfs.core.waiting import Waiter

names = st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1)


def test_an_inode_is_the_same_in_every_process():
    assert inode_of("item", "by-date", "abc") == 2_564_120_059_411_483_047


@given(names)
def test_an_inode_fits_in_63_bits_and_is_neither_none_nor_the_roots(parts):
    assert ROOT_INODE < inode_of(*parts) < 2**63


def test_the_same_words_split_otherwise_are_another_inode():
    assert inode_of("file", "ab", "c") != inode_of("file", "a", "bc")


@given(st.lists(st.text()), st.text())
def test_inodes_of_many_of_a_kind_are_the_same_as_one_by_one(names, name):
    assert inodes_of(*names)(name) == inode_of(*names, name)


def test_a_directory_tells_nothing_by_its_link_count():
    attributes = directory(5, 1234)
    assert stat.S_ISDIR(attributes.kind)
    assert (attributes.inode, attributes.links, attributes.mtime) == (5, 1, 1234)


@given(st.binary(), st.integers(0, 50), st.integers(0, 50))
def test_bytes_in_memory_are_read_like_a_file(content, offset, size):
    file = BytesFile(content)
    assert file.size == len(content)
    assert file.read(offset, size, Waiter(0)) == content[offset : offset + size]
