"""The file names of attachments, and their items in the audio store."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.attachments import key_prefix, part_of, unique_names
from histfs.core.item import Attachment
from histfs.core.names import NAME_MAX, is_component, key_of
from tests.support.memory import record

anything = st.text(st.characters(codec=None), max_size=400)
attachments = st.lists(
    st.builds(Attachment, anything.filter(bool), anything, st.sampled_from(["", "text/plain"])),
    max_size=6,
)


def names(*given_names, kind=""):
    found = unique_names(Attachment(f"file_{n}", name, kind) for n, name in enumerate(given_names))
    return list(found)


@given(attachments)
def test_every_attachment_has_a_safe_name_of_its_own(given_attachments):
    found = unique_names(given_attachments)
    assert [each.id for each in found.values()] == list(
        dict.fromkeys(each.id for each in given_attachments)
    )
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert is_component(name)
        assert not name.startswith((".", "-"))
        assert name == unicodedata.normalize("NFC", name)
        assert not {unicodedata.category(c)[0] for c in name.replace(" ", "")} & {"C", "Z"}


@given(attachments)
def test_what_is_sent_later_changes_no_name(given_attachments):
    found = list(unique_names(given_attachments))
    for count in range(len(given_attachments)):
        earlier = list(unique_names(given_attachments[:count]))
        assert earlier == found[: len(earlier)]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("a/b\\c.tar.gz", "a-b-c.tar.gz"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "attachment"),
        ("", "attachment"),
        (".hidden", "hidden"),
        ("a\n\x1b\u202eb.txt", "a b.txt"),
        ("U\u0308.pdf", "\u00dc.pdf"),
        ("x" * 1000 + ".pdf", "x" * 139 + ".pdf"),
        ("CON.pdf", "CON_.pdf"),
        ("Dr. Who", "Dr. Who"),
    ],
)
def test_a_name_stays_what_it_was_as_far_as_it_is_safe(name, shown):
    assert names(name) == [shown]


def test_a_file_without_a_name_has_the_extension_of_its_type():
    assert names("", kind="application/pdf") == ["attachment.pdf"]


def test_twins_have_the_end_of_their_id_before_the_extension():
    assert names("a.pdf", "a.pdf", "A.PDF", "a (file_1).pdf") == [
        "a.pdf",
        "a (file_1).pdf",
        "A (file_2).PDF",
        "a (file_1) (file_3).pdf",
    ]
    assert all(len(name.encode()) <= NAME_MAX for name in names(*["x" * 999 + ".pdf"] * 3))


@given(anything.filter(bool), anything.filter(bool), anything.filter(bool))
def test_the_store_keeps_each_under_a_key_that_no_item_has(item_id, one, other):
    item = record(item_id, 7).item
    first, second = (part_of(item, Attachment(each, "a")) for each in (one, other))
    assert (first.key == second.key) == (one == other)
    assert first.key.startswith(key_prefix(item.key))
    assert first.key != key_of(first.key)
    # The name of a source stands before it, in the name of a file.
    assert len(f"{'s' * 20}:{first.key}".encode()) <= NAME_MAX
    assert (first.id, first.date, first.attachment) == (item_id, 7, one)
    assert first.estimate > 0
