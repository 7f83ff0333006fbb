import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histfs.core.name_forms import key_in
from histfs.core.names import (
    NAME_MAX,
    PORTABLE_MAX,
    Labelled,
    choose_name,
    component,
    folded,
    is_name_of,
    item_name,
    key_of,
    slug_of,
    without_words,
)
from histfs.core.times import LATEST, Zone

#: Any string that JSON can carry, lone surrogates too.
anything = st.text(st.characters())
ids = st.one_of(
    anything, st.text("ab_-.%/", min_size=1), st.text("aB3", min_size=220, max_size=240)
)
moments = st.integers(-(2**40), 2 * LATEST)
UTC = Zone("UTC")


def assert_safe(name: str) -> None:
    assert 0 < len(name.encode()) <= NAME_MAX
    assert not any(c == "/" or unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in name)
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert unicodedata.is_normalized("NFC", name)


def assert_portable(name: str) -> None:
    """Check what FAT, NTFS and SMB ask of a name, and eCryptfs."""
    assert_safe(name)
    assert len(name.encode()) <= PORTABLE_MAX
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*]', name)
    stem = name.split(".")[0].strip().upper()
    assert stem not in {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    assert not re.fullmatch("(COM|LPT)[0-9¹²³]", stem)


@given(text=anything, moment=moments, key=st.text("aB3_-", min_size=1, max_size=100))
def test_an_item_with_an_id_of_usual_length_has_a_name_that_every_target_takes(text, moment, key):
    assert_portable(item_name(moment, slug_of(text), key, UTC))


@given(text=anything, item_id=ids, moment=moments)
def test_an_item_has_a_safe_name_whatever_its_text_and_id(text, item_id, moment):
    assert_safe(item_name(moment, slug_of(text), key_of(item_id), UTC))


@pytest.mark.parametrize("length", [229, 230, 231, 300])
def test_a_long_id_leaves_less_room_for_the_slug(length):
    name = item_name(0, slug_of("Grüße an alle, die das lesen"), key_of("x" * length), UTC)
    assert_safe(name)
    assert key_in(name) == key_of("x" * length)


@given(text=anything, item_id=ids, moment=moments)
def test_the_key_is_read_back_from_an_items_name(text, item_id, moment):
    assert key_in(item_name(moment, slug_of(text), key_of(item_id), UTC)) == key_of(item_id)


@given(st.lists(ids, unique=True, min_size=2))
@example(["a/b", "a%2Fb", "a%2fb"])
@example(["", "%"])
@example(["x" * 230, "x" * 231, "x" * 232])
@example(["é" * 76, "é" * 77, "é" * 78])
def test_different_ids_have_different_keys(item_ids):
    keys = [key_of(item_id) for item_id in item_ids]
    assert len(set(keys)) == len(keys)


@given(ids)
def test_a_key_is_plain_ascii_that_no_path_and_no_url_takes_apart(item_id):
    assert set(key_of(item_id)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-%"
    )


def test_an_ordinary_id_is_its_own_key():
    assert key_of("ja9xsmfGhxYcymxGcOGB") == "ja9xsmfGhxYcymxGcOGB"


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Hello, World!", "hello-world"),
        ("  Grüße\naus\tKöln ", "grüße-aus-köln"),
        ("Cafe\u0301 au lait", "caf\u00e9-au-lait"),
        ("under_score/slash", "under-score-slash"),
        ("The quick brown fox jumps over the lazy dog", "the-quick-brown-fox-jumps-over-the-lazy"),
        ("a" * 500, "a" * 40),
        ("日本語" * 30, ("日本語" * 30)[:21]),
        ("?!… \u200b\x00\ud800", "untitled"),
        ("", "untitled"),
        (None, "untitled"),
    ],
)  # fmt: skip
def test_a_slug_is_the_first_words_of_the_text(text, slug):
    assert slug_of(text) == slug


def slow_slug(text: str) -> str:
    """Return the slug, word by word."""
    piece = unicodedata.normalize("NFC", text[:200].lower())
    words = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in piece).split()
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word
        if slug and (len(longer) > 40 or len(longer.encode()) > 64):
            break
        slug = longer
    return slug[:40].encode()[:64].decode(errors="ignore") or "untitled"


@given(
    st.one_of(
        anything,
        st.text(st.characters(max_codepoint=127), max_size=250),
        st.text("aB9 -_\t", min_size=30, max_size=250),
        st.text("aé日\u0301\U00020000 -", min_size=15, max_size=250),
    )
)
@example("a" * 40 + " b")
@example("a" * 39 + " b")
@example("é" * 32 + " b")
@example("?" * 64 + "a b")
@example("a" * 63 + "\u0301b")
def test_a_slug_has_as_many_whole_words_as_fit(text):
    assert slug_of(text) == slow_slug(text)


def test_an_items_name_is_its_time_its_slug_and_its_key():
    name = item_name(1_714_650_306, "hello-world", "ja9x_-Q", UTC)
    assert name == "2024-05-02T11-45-06_hello-world_ja9x_-Q"


@pytest.mark.parametrize(
    "name", ["", "text.txt", "2024-05-02T11-45-06_hello", "2024-05-02T11-45-06_hello_", "a_b_c"]
)
def test_there_is_no_key_in_a_name_of_another_form(name):
    assert key_in(name) is None


labels = st.one_of(
    st.none(),
    st.sampled_from(["Rachel", "Rachel (abcdefgh)", "(no voice)", "..", "-", " ", "ra/chel"]),
    st.sampled_from(["RACHEL", "rachel", "ra:chel", 'ra"chel?', "(No Voice)", "straße", "STRASSE"]),
    st.text('aA:*?"<>|\\. \x00\u017fsKk', max_size=6),
    st.from_regex(r"[.\- ]?(con|PRN|Aux|nul|com[1¹]|LPT9|CONIN\$) ?(\.[a. ]*)?", fullmatch=True),
    anything,
    st.text(min_size=250, max_size=310),
)
values = st.one_of(
    st.sampled_from(["abcdefgh", "ABCDEFGH", "abcdefghij", "-", "--x", "..", "NUL", ""]),
    anything,
    st.text("aB", min_size=100, max_size=240),
)
labelled_values = st.lists(
    st.builds(Labelled, values, labels), unique_by=lambda labelled: labelled.value
)


def chosen_names(labelled_values, nothing="(no voice)", given=()):
    """Return values by name, each name used once whatever its case, as the index chooses them."""
    names = dict(given)
    taken = {folded(name): value for name, value in names.items()}
    for labelled in labelled_values:

        def usable(name, value=labelled.value):
            return taken.get(folded(name), value) == value

        name = choose_name(labelled, nothing, usable)
        names[name] = taken[folded(name)] = labelled.value
    return names


@given(labelled_values)
@example([Labelled("-", None)])
@example([Labelled("-x", " ")])
def test_every_directory_has_a_name_that_every_target_takes(known):
    for name in chosen_names(known):
        assert_portable(name)


@given(labelled_values)
@example(
    [Labelled("v1", "Rachel"), Labelled("v2", "Rachel (v3)"), Labelled("v3", "Rachel")]
)  # fmt: skip
@example([Labelled("v1", "Rachel"), Labelled("v2", "RACHEL"), Labelled("v3", "ra:chel")])
@example([Labelled("abcdefgh", "x"), Labelled("ABCDEFGH", "X"), Labelled("Abcdefgh", "X")])
def test_every_thing_has_one_directory_of_its_own_also_where_case_is_ignored(known):
    names = chosen_names(known)
    assert sorted(names.values()) == sorted(labelled.value for labelled in known)
    assert len({name.lower() for name in names}) == len({name.upper() for name in names})
    assert len({name.casefold() for name in names}) == len(known)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ('Bob: the "Man" <1|2>?*', "Bob- the 'Man' -1-2---"),
        ("back\\slash", "back-slash"),
        ("tab\there. . ", "tab here"),
        ("con", "con_"),
        ("NUL.txt", "NUL_.txt"),
        ("COM10", "COM10"),
        ("Consuelo", "Consuelo"),
        ("日" * 100, "日" * 47),
    ],
)
def test_what_a_target_would_refuse_is_replaced(label, name):
    assert component(label) == name


@given(labelled_values)
def test_a_thing_is_called_by_its_name_whatever_others_are_called(known):
    names = {value: name for name, value in chosen_names(known).items()}
    assert all(is_name_of(names[labelled.value], labelled, "(no voice)") for labelled in known)


def test_a_thing_with_another_label_is_not_called_by_its_name():
    assert is_name_of("Rachel (VR6AewLT)", Labelled("VR6AewLTigWG4xSO", "Rachel"), "(no voice)")
    assert not is_name_of("Rachel", Labelled("VR6AewLTigWG4xSO", "Rachel 2"), "(no voice)")


def test_of_two_voices_with_one_name_the_second_has_its_id_behind_it():
    voices = [Labelled("21m00Tcm4TlvDq8ikWAM", "Rachel"), Labelled("VR6AewLTigWG4xSO", "Rachel")]
    assert chosen_names(voices) == {
        "Rachel": "21m00Tcm4TlvDq8ikWAM",
        "Rachel (VR6AewLT)": "VR6AewLTigWG4xSO",
    }


def test_a_voice_that_is_called_like_the_voiceless_does_not_push_them_aside():
    names = chosen_names([Labelled("abc", "(no voice)"), Labelled("", None)])
    assert names == {"(no voice)": "", "(no voice) (abc)": "abc"}


def test_the_voiceless_have_a_directory_though_its_name_is_taken():
    given = {"(no voice)": "abc"}
    assert chosen_names([Labelled("", None)], given=given) == {**given, "(no voice) (2)": ""}


def test_what_has_no_label_is_named_by_its_value():
    names = chosen_names([Labelled("TTS", None), Labelled("a/b", "\x00\u202e")], "(no source)")
    assert names == {"TTS": "TTS", "a%2Fb": "a/b"}


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/by-date/2024/05/02/2024-05-02T11-45-06_hello-world_ja9x_F/audio.mp3",
         "/by-date/2024/05/02/2024-05-02T11-45-06_…_ja9x_F/audio.mp3"),
        ("/by-voice/Rachel/2024-05-02T11-45-06_hello_ja9x",
         "/by-voice/…/2024-05-02T11-45-06_…_ja9x"),
        ("/work/conversations/search/my words", "/work/conversations/search/…"),
        ("/conversations/by-date/2024", "/conversations/by-date/2024"),
        ("/work/listen/by-voice/Rachel/2024-05-02 11.45 Hello. my words.mp3",
         "/work/listen/by-voice/…/2024-05-02 11.45 ….mp3"),
        ("/listen/by-date/2024-05/2024-05-02 11.45 Hello. my words",
         "/listen/by-date/2024-05/2024-05-02 11.45 …"),
        ("/listen/conversations/Support/playlist.m3u8",
         "/listen/conversations/…/playlist.m3u8"),
        ("/", "/"),
    ],
)  # fmt: skip
def test_a_path_in_a_log_tells_neither_words_nor_names(path, logged):
    assert without_words(path) == logged
