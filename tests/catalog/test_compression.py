import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.catalog.compression import Compressor, dictionary_of
from tests.support.memory import record

#: Fields that an API has for every item, beside those of `record`.
SETTINGS = {
    "model_id": "eleven_multilingual_v2",
    "character_count_change_from": 0,
    "settings": {"similarity_boost": 0.75, "stability": 0.5, "style": 0.0, "speed": 1.0},
    "feedback": None,
    "share_link_id": None,
    "state": "created",
    "voice_category": "premade",
}

dictionaries = st.just(b"") | st.binary(min_size=8, max_size=200)
objects = st.lists(st.binary(max_size=300), max_size=5)


def typical(number: int) -> bytes:
    words = " ".join(f"{number * step % 991:x}" for step in range(1, 12))
    return record(f"id{number:020}", 1_700_000_000 + number, words, **SETTINGS).raw


@given(dictionaries, objects)
def test_objects_are_given_back_as_they_were(dictionary, some):
    packer = Compressor(dictionary)
    packed = packer.pack(some)
    assert [packer.unpack(each) for each in packed] == some
    assert [Compressor(dictionary).unpack(each) for each in packed] == some


@given(st.binary(min_size=8, max_size=200), objects)
def test_objects_from_before_there_was_a_dictionary_are_read_with_it(dictionary, some):
    packer = Compressor(dictionary)
    assert [packer.unpack(each) for each in Compressor(b"").pack(some)] == some


@given(objects)
def test_objects_are_packed_with_a_dictionary_of_themselves(some):
    packer = Compressor(dictionary_of(some))
    assert [packer.unpack(each) for each in packer.pack(some)] == some


def test_with_a_dictionary_typical_objects_become_much_smaller_than_without():
    packer = Compressor(dictionary_of([typical(number) for number in range(100)]))
    others = [typical(number) for number in range(1000, 1100)]
    with_it, without = packer.pack(others), Compressor(b"").pack(others)
    assert 1.5 * sum(map(len, with_it)) < sum(map(len, without)) < sum(map(len, others))


def test_an_object_too_large_for_a_dictionary_does_not_keep_others_out_of_it():
    large = json.dumps({f"a{number}": number for number in range(100_000)}).encode()
    small = json.dumps(SETTINGS).encode()
    assert b'"similarity_boost"' in dictionary_of([large, small, small])
    assert len(dictionary_of([large] + [small] * 10_000)) < 100_000


def test_nothing_that_only_some_objects_hold_is_in_a_dictionary():
    def private(number: int) -> bytes:
        fields = {
            "id": f"id{number}", "words": f"Words{number}", "letters": list(f"spelt{number:06}"),
            "dynamic": {f"name{number}": True}, "phone": 49_155_500_000 + number, "state": "done",
            "escaped": f'"\\Words{number}"', "all": "The same text in each of them",
        }  # fmt: skip
        return json.dumps(fields).encode()

    dictionary = dictionary_of([private(number) for number in range(100)])
    assert b'"state":"done"' in dictionary
    assert b'"dynamic":{"":true}' in dictionary
    for scrubbed in (b"id0", b"Words", b"49155", b"name0", b"The same", b'"s","p","e"'):
        assert scrubbed not in dictionary


@pytest.mark.parametrize("dictionary", [b"", b"a dictionary"])
@pytest.mark.parametrize(
    "damage",
    [lambda packed: packed[:-1], lambda _: b"", lambda _: b"{}", lambda packed: packed[1:],
     lambda packed: packed + b"x"],
    ids=["cut", "empty", "not packed", "beheaded", "longer"],
)  # fmt: skip
def test_damaged_bytes_are_told_as_such(dictionary, damage):
    packer = Compressor(dictionary)
    (packed,) = packer.pack([typical(1)])
    with pytest.raises(ValueError, match=r"."):
        packer.unpack(damage(packed))


def test_what_needs_a_dictionary_is_not_read_without_it():
    packer = Compressor(dictionary_of([typical(number) for number in range(100)]))
    (packed,) = packer.pack([typical(1)])
    with pytest.raises(ValueError, match=r"."):
        Compressor(b"").unpack(packed)
