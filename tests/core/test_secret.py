import copy
import dataclasses
import json
import pickle
import traceback

import pytest

from histfs.core.secret import Secret

KEY = "sk_0123456789abcdef"


@dataclasses.dataclass
class Holder:
    key: Secret


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{:>40}".format, lambda s: f"{s!r} {s!s} {s}", lambda s: [s],
     lambda s: {"key": s}, Holder],
)  # fmt: skip
def test_a_secret_shows_nothing_of_itself(show):
    assert KEY not in str(show(Secret(KEY)))


def test_a_secret_is_revealed_to_the_one_who_asks():
    assert Secret(KEY).reveal() == KEY


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.deepcopy, copy.copy])
def test_a_secret_is_not_written_down(write):
    with pytest.raises(TypeError) as caught:
        write(Secret(KEY))
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_text_is_redacted_wherever_the_secret_stands_in_it():
    assert Secret(KEY).redact(f"{KEY} and x{KEY}y") == "*** and x***y"


def test_where_a_secret_comes_from_does_not_show_it_either():
    assert Secret(KEY, f"the file /home/{KEY}/key").origin == "the file /home/***/key"


def test_an_empty_secret_redacts_nothing():
    assert Secret("").redact("a text") == "a text"
