"""Secrets don't show themselves, and every text is redacted, however the key is written."""

import base64
import copy
import dataclasses
import json
import pickle
import traceback

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.errors import BadAnswer
from histfs.core.secret import Secret, redact
from histfs.core.terminal_text import shown

KEY = "sk_0123456789abcdef"
#: Keeps the key registered while the tests run.
HELD = Secret(KEY)


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


def test_a_secret_is_revealed_on_request():
    assert Secret(KEY).reveal() == KEY


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.deepcopy, copy.copy])
def test_a_secret_is_not_serialized(write):
    with pytest.raises(TypeError) as caught:
        write(Secret(KEY))
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_text_is_redacted_wherever_the_secret_stands_in_it():
    assert Secret(KEY).redact(f"{KEY} and x{KEY}y") == "*** and x***y"


def test_where_a_secret_comes_from_does_not_show_it_either():
    assert Secret(KEY, f"the file /home/{KEY}/key").origin == "the file /home/***/key"


def test_an_empty_secret_redacts_nothing():
    assert Secret("").redact("a text") == "a text"


ESCAPED = {
    "JSON": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "JSON twice": "".join(f"\\\\\\u{ord(c):04X}" for c in KEY),
    "JavaScript": "".join(f"\\u{{{ord(c):x}}}" for c in KEY),
    "C": "".join(f"\\x{ord(c):02x}" for c in KEY),
    "HTML": "".join(f"&#{ord(c)};" for c in KEY),
    "HTML in hexadecimal": "".join(f"&#x{ord(c):X};" for c in KEY),
    "HTML by name": KEY.replace("_", "&lowbar;"),
    "URL": "".join(f"%{ord(c):02x}" for c in KEY),
    "URL twice": "".join(f"%25{ord(c):02X}" for c in KEY),
    "URL in JSON": f"%5Cu0073{KEY[1:]}",
    "one character": f"\\u0073{KEY[1:]}",
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 behind a name": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "hexadecimal": KEY.encode().hex(":"),
    "zero width": "\u200b".join(KEY),
    "soft hyphens": "\u00ad".join(KEY),
    "spaces": " ".join(KEY),
    "lines": "\n".join(KEY),
    "parts": f"{KEY[:9]}', '{KEY[9:]}",
    "full width": "".join(chr(ord(c) + 0xFEE0) for c in KEY),
    "upper case": KEY.upper(),
    "its beginning": KEY[:9],
    "its end": KEY[-8:],
}


@pytest.mark.parametrize("form", ESCAPED.values(), ids=ESCAPED)
def test_a_secret_is_found_however_it_is_written(form):
    secret = Secret(KEY)
    for redacted in (secret.redact(f"the key {form} is wrong"), redact(f"the key {form} is wrong")):
        assert redacted.startswith("the key ")
        assert redacted.endswith(" is wrong")
        assert "***" in redacted
        # Some base64 characters of the text around the key are left.
        assert len(redacted) < len("the key  is wrong") + 16


@pytest.mark.parametrize("piece", [KEY[:9], KEY[4:12], KEY[-8:]])
@given(text=st.text(alphabet="skx_019af%\\u&#;=é\u200b -", max_size=40), at=st.integers(0, 40))
@example(text="\\\\u\\", at=1)
def test_no_surrounding_text_hides_a_piece(piece, text, at):
    assert piece not in redact(f"{text[:at]}{piece}{text[at:]}")


@given(st.text(alphabet=st.characters(exclude_characters="0123456789abcdefABCDEF")))
def test_a_text_without_it_stays_as_it_is(text):
    assert HELD.redact(text) == text


def test_other_keys_and_words_stay():
    for text in (
        "sk_01234",
        "/v1/history?page_size=1000",
        "abcdefg",
        "%zz \\u12 &nothing; &#x;",
        "",
    ):
        assert Secret(KEY).redact(text) == text


def test_words_that_a_key_is_made_of_stay():
    secret = Secret("elevenlabs-proxy-key")
    assert secret.redact("https://api.elevenlabs.io") == "https://api.elevenlabs.io"
    assert secret.redact("the key elevenlabs-proxy-key") == "the key ***"


def test_error_messages_and_terminal_output_contain_no_key_that_is_held():
    held = [Secret(KEY), Secret("sk_another_key_altogether")]
    for secret in held:
        message = f"bad key: {secret.reveal()}"
        for text in (
            str(BadAnswer(message)),
            shown(message),
            shown(message.replace("_", "_\u200b")),
        ):
            assert text == "bad key: ***"
    assert "***" not in str(BadAnswer("bad key"))


def test_a_short_secret_is_masked_only_by_its_own_redact():
    secret = Secret("pass1")
    assert secret.redact("no Pass1 here") == "no *** here"
    assert redact("no pass1 here") == "no pass1 here"
