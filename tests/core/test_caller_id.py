import pytest

from histfs.core.caller_id import same_caller


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("customer 4711", "customer 4711"),
        ("+49 (1555) 12-34", "004915551234"),
        ("+4915551234", "4915551234"),
        ("sip:+4915551234@example.com", "+49 1555 1234"),
    ],
)
def test_notations_of_one_caller_are_equal(one, other):
    assert same_caller(one, other)
    assert same_caller(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("customer 4711", "customer 4712"),
        ("a", "A"),
        ("00000", "000000"),
        ("", "+"),
        ("+4915551234", "+49155512345"),
        ("015551234", "+4915551234"),
        ("user-15551234", "15551234"),
    ],
)
def test_ids_of_different_callers_differ(one, other):
    assert not same_caller(one, other)
