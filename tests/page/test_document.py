"""The page as bytes: what is escaped, what the policy permits, which times it has."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.captions import TimedWord
from histfs.page import PageClip, page
from histfs.page.clip import audio_address, placed


def clip(text="Hello", words=(), **more):
    fields = {"when": "2024-05-02 11:45:06", "voices": ("Rachel",), "audio": "a/audio.mp3"}
    return PageClip(text=text, words=tuple(words), **{**fields, **more})


def content(document, element):
    """Return the contents of the elements that begin with some text."""
    return re.findall(rf"<{element}>(.*?)</{element.split()[0]}>", document.decode(), re.DOTALL)


def data(document):
    (found,) = content(document, 'script type="application/json" id="data"')
    return json.loads(found)


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "{{script}} {{policy}}",
    "a\u2028b\u2029c",
    'quotes " and \\ and \0 and \x1b',
    "emoji 👩‍👩‍👧 and عربي and 日本語",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_in_the_page_as_it_is_and_ends_no_element(text):
    document = page([clip(text, voices=(text,))], text)
    found = data(document)
    assert (found["clips"][0][3], found["voices"]) == (text, [text])
    assert document.count(b"<script") == 2
    assert document.count(b"</script") == 2
    assert not re.search(
        "[\u2028\u2029]", content(document, 'script type="application/json" id="data"')[0]
    )
    assert document.count(b"<script>alert") == 0


def test_a_lone_surrogate_becomes_a_question_mark():
    assert (
        data(page([clip("a\ud800b", [TimedWord("a\ud800b", 0, 1)])], "\udfff"))["clips"][0][3]
        == "a?b"
    )


def test_the_policy_permits_this_script_this_style_and_audio_beside_the_page_alone():
    document = page([clip()], "History").decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', document)[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for rule, element in (("script-src", "script"), ("style-src", "style")):
        (inline,) = content(document.encode(), element)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'",
        "media-src": "'self' file:",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    assert re.findall(r"""(?:src|href)=["'][^"']*["']""", document) == ['href="data:,"']


def test_the_same_clips_make_the_same_bytes():
    clips = [clip(voices=("Zoë", "anna")), clip(voices=("anna",))]
    assert page(clips, "History") == page(clips, "History")
    assert data(page(clips, "History"))["voices"] == ["anna", "Zoë"]


@pytest.mark.parametrize(
    ("path", "start", "address"),
    [
        ("/h/by date/50% #1?/audio.mp3", "/h", "by%20date/50%25%20%231%3F/audio.mp3"),
        ("/h/a/audio.mp3", "/pages/x", "../../h/a/audio.mp3"),
        ("/h/10:30 \"'\\/audio.mp3", "/h", "10%3A30%20%22%27%5C/audio.mp3"),
        ("/h/grüße/audio.mp3", "/h", "gr%C3%BC%C3%9Fe/audio.mp3"),
        ("/h/\udcff/audio.mp3", "/h", "%FF/audio.mp3"),
        ("/h/%20/audio.mp3", "/h", "%2520/audio.mp3"),
    ],
)
def test_an_address_is_relative_and_escaped(path, start, address):
    assert audio_address(path, start) == address


def word(text, start=0, end=0, before=" "):
    return TimedWord(text, start, end, before)


def test_the_places_of_words_count_as_javascript_does_and_names_of_speakers_are_passed_over():
    text = "Rachel: Hi 👋 there\nمرحبا"  # noqa: RUF001
    words = [
        word("Hi", 500, 750), word("👋", 750, 1000), word("there", 1000, 1500),
        word("absent", 1500, 1600), word("مرحبا", 2000, 2250),
    ]  # fmt: skip
    assert list(placed(text, words)) == [
        *(8, 2, 500, 250),
        *(1, 2, 250, 250),
        *(1, 5, 250, 500),
        *(1, 5, 1000, 250),
    ]


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("[00:04] agent: a gent", [word("a"), word("gent")], [15, 1, 1, 4]),
        ("日本語 です", [word("日"), word("本", before=""), word("語", before=""), word("です")],
         [0, 1, 0, 1, 0, 1, 1, 2]),
        ("iPhoneを", [word("iPhone"), word("を", before="")], [0, 6, 0, 1]),
        ("(Hi) 'you'", [word("(Hi)"), word("'you'")], [0, 4, 1, 5]),
        ("", [word("a")], []),
    ],
)  # fmt: skip
def test_a_word_is_found_as_a_whole(text, words, found):
    numbers = list(placed(text, words))
    assert [n for at in range(0, len(numbers), 4) for n in numbers[at : at + 2]] == found


def test_a_word_that_is_not_there_hides_no_later_one():
    text = "one two " + "x " * 500 + "far three"
    words = [word(each, n, n + 1) for n, each in enumerate(["one", "far", "two"])]
    assert list(placed(text, words)) == [0, 3, 0, 1, 1, 3, 2, 1]


ODD = st.integers(-10, 10) | st.integers()
TEXTS = st.sampled_from(["a", "bb", "👋", ""])
WORDS = st.builds(word, TEXTS, ODD, ODD, st.sampled_from(" \n"))


@given(st.lists(WORDS), st.text("ab👋 \n"))
def test_times_never_run_backwards_and_words_never_overlap(words, text):
    numbers = list(placed(text, words))
    assert len(numbers) % 4 == 0
    assert all(isinstance(each, int) and each >= 0 for each in numbers)
    length = len(text.encode("utf-16-le")) // 2
    assert sum(numbers[0::4]) + sum(numbers[1::4]) <= length


def test_twenty_thousand_characters_are_placed_in_a_moment():
    words = [TimedWord(f"w{n:05}", n, n + 1) for n in range(3000)]
    numbers = list(placed(" ".join(word.text for word in words), words))
    assert len(numbers) == 12_000


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_duration_that_is_none_is_not_in_the_page(seconds):
    assert data(page([clip(seconds=seconds)], "History"))["clips"][0][5] == 0
