import collections
import random

import pytest

from histfs.core.audio_format import actual_extension, declared_extension
from histfs.simulator import HistoryStore, ListQuery, SimulatorSettings
from histfs.simulator.ids import ALPHABET, ID_LENGTH, Ids
from histfs.simulator.item_templates import ItemTemplate, item_templates
from histfs.simulator.sample_clips import load_samples


def pages(library, **query):
    """Read a listing to its end."""
    found, after = [], None
    while True:
        page = library.page(ListQuery(after=after, **query))
        found += page.numbers
        if not page.has_more:
            return found
        after = library._ids.encode(page.last)


def test_ids_are_a_bijection_that_looks_random():
    ids = Ids("a key")
    numbers = [*range(500), *(random.randrange(10**9) for _ in range(500))]
    encoded = [ids.encode(number) for number in numbers]
    assert [ids.decode(text) for text in encoded] == numbers
    assert len(set(encoded)) == len(set(numbers))
    assert all(len(text) == ID_LENGTH and set(text) <= set(ALPHABET) for text in encoded)
    assert encoded[:500] != sorted(encoded[:500])
    assert ids.encode(3) != Ids("another key").encode(3)


@pytest.mark.parametrize("text", ["", "short", "x" * 21, "x" * 19 + "/", "é" * 20, "x" * 19 + "\n"])
def test_what_is_no_id_is_not_found(text):
    assert Ids("a key").decode(text) is None
    assert text not in HistoryStore(SimulatorSettings())


def test_an_id_that_was_never_given_out_is_not_found():
    assert "A" * ID_LENGTH not in HistoryStore(SimulatorSettings(items=10**6))


def test_the_same_settings_give_the_same_bytes():
    first, second = (
        HistoryStore(SimulatorSettings(items=40)),
        HistoryStore(SimulatorSettings(items=40)),
    )
    query = ListQuery(page_size=40)
    assert first.page_json(query) == second.page_json(query)
    ids = list(first.ids())
    assert [bytes(first.clip(key)) for key in ids] == [bytes(second.clip(key)) for key in ids]
    assert first.page_json(query) != HistoryStore(SimulatorSettings(items=40, seed=1)).page_json(
        query
    )


def test_every_clip_has_other_bytes():
    library = HistoryStore(SimulatorSettings(items=600))
    assert len({bytes(library.clip(key)) for key in library.ids()}) == 600


def test_a_million_items_are_generated_only_on_demand(monkeypatch):
    rendered, render = [], ItemTemplate.render

    def count(*arguments):
        rendered.append(arguments)
        return render(*arguments)

    monkeypatch.setattr(ItemTemplate, "render", count)
    library = HistoryStore(SimulatorSettings(items=10**6))
    newest = next(library.ids())
    assert rendered == []
    library.page_json(ListQuery(page_size=1000))
    library.item(newest)
    assert len(rendered) == 1001


def test_times_fall_with_rank_and_sometimes_tie():
    settings = SimulatorSettings(items=1000, days=30)
    library = HistoryStore(settings)
    times = [library.item(key)["date_unix"] for key in library.ids()]
    assert times[0] == settings.newest
    assert times == sorted(times, reverse=True)
    assert times[-1] >= settings.newest - 30 * 86400
    assert 10 < len(times) - len(set(times)) < 100


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("page_size", [7, 1000])
def test_filters_agree_with_a_plain_list(ascending, page_size):
    library = HistoryStore(SimulatorSettings(items=500, days=10))
    library.add(3)
    for key in list(library.ids())[::9]:
        library.remove(key)
    everything = [(library._number(key), library.item(key)) for key in library.ids()]
    if ascending:
        everything.reverse()
    times = sorted(item["date_unix"] for _, item in everything)
    for after, before in [(times[100], times[300]), (times[7], times[7]), (None, times[50] + 1)]:
        wanted = [
            number
            for number, item in everything
            if (after is None or item["date_unix"] >= after) and item["date_unix"] < before
        ]
        query = {"page_size": page_size, "ascending": ascending}
        assert pages(library, after_unix=after, before_unix=before, **query) == wanted
    for name, value in [
        ("voice_id", everything[5][1]["voice_id"]),
        ("source", "STS"),
        ("model_id", "eleven_v3"),
    ]:
        wanted = [number for number, item in everything if item[name] == value]
        assert wanted
        found = pages(library, page_size=page_size, ascending=ascending, **{name: value})
        assert found == wanted


def test_search_looks_at_texts_and_dialogues_whatever_the_case():
    library = HistoryStore(SimulatorSettings(items=252, alignments=False))
    found = [library._ids.encode(number) for number in pages(library, search="KÖLN FÄHRT")]
    texts = {library.item(key)["text"] for key in found}
    assert len(texts) == 3, "the sentence, and in a dialogue none or an empty one"
    assert pages(library, search="nobody says this") == []


def test_paging_while_the_list_changes():
    library = HistoryStore(SimulatorSettings(items=50))
    before = list(library.ids())
    first = library.page(ListQuery(page_size=20))
    library.add(5)
    library.remove(before[30])
    cursor = library._ids.encode(first.last)
    rest = library.page(ListQuery(page_size=100, after=cursor))
    assert [library._ids.encode(number) for number in rest.numbers] == before[20:30] + before[31:]


def test_a_removed_item_is_no_cursor():
    library = HistoryStore(SimulatorSettings(items=10))
    ids = list(library.ids())
    library.remove(ids[4])
    with pytest.raises(KeyError):
        library.page(ListQuery(after=ids[4]))


def test_new_items_come_first_with_the_fields_they_were_given():
    library = HistoryStore(SimulatorSettings(items=5))
    newest = library.item(next(library.ids()))["date_unix"]
    with pytest.raises(ValueError, match="older"):
        library.add(time=newest - 1, fields={"text": "never"})
    given = {"text": "one \ud800 half", "novel": [1], "content_type": "audio/pcm"}
    ids = library.add(2, fields=given)
    assert list(library.ids())[:2] == ids[::-1]
    item = library.item(ids[0])
    assert {name: item[name] for name in given} == given
    assert item["date_unix"] == newest + 1
    assert library.clip(ids[0]).content_type == "audio/pcm"
    assert pages(library, search="HALF") == [6, 5]
    assert len(library) == 7


def test_an_empty_account():
    library = HistoryStore(SimulatorSettings(items=0))
    empty = b'{"history":[],"has_more":false,"last_history_item_id":null,"scanned_until":null}'
    assert library.page_json(ListQuery()) == empty
    assert library.add(1) == list(library.ids())


def test_all_kinds_of_items_occur():
    library = HistoryStore(SimulatorSettings(items=len(item_templates(alignments=True))))
    items = [library.item(key) for key in library.ids()]
    sources = collections.Counter(item["source"] for item in items)
    assert sources.most_common(1)[0][0] == "TTS"
    assert set(sources) == {"TTS", "STS", "Projects", "ConvAI", "Dubbing", "Flows", None}
    assert {item["content_type"] for item in items} == {"audio/mpeg", "audio/wav"}
    voices = {(item["voice_id"], item["voice_name"]) for item in items}
    names = collections.Counter(name for _, name in voices)
    assert len(voices) == 10
    assert names["Rachel"] == 2
    assert names[None] == names[""] == 1
    assert any("output_format" not in item for item in items)
    assert any("provenance" in item for item in items)


def test_items_of_the_newest_models_have_text_and_voice_only_in_a_dialogue():
    library = HistoryStore(SimulatorSettings(items=len(item_templates(alignments=True))))
    items = [library.item(key) for key in library.ids()]
    dialogues = [item for item in items if item.get("dialogue")]
    assert len(dialogues) > len(items) / 6
    for item in dialogues:
        assert item["text"] == item["voice_id"] == item["voice_name"]
    several = [len({line["voice_id"] for line in item["dialogue"]}) for item in dialogues]
    assert collections.Counter(several) == {1: len(dialogues) / 2, 2: len(dialogues) / 2}
    assert {item["text"] for item in dialogues} == {None, ""}
    assert {item["model_id"] for item in dialogues} == {"eleven_v3", "eleven_v4_exp"}


def test_samples_are_small_and_aligned_to_their_end():
    clips = load_samples().clips
    assert len(clips) == 12
    assert sum(len(clip.frames) for clip in clips) < 300_000
    for clip in clips:
        alignment = clip.alignment
        starts = alignment.character_start_times_seconds
        ends = alignment.character_end_times_seconds
        assert "".join(alignment.characters) == clip.text
        assert len(starts) == len(ends) == len(clip.text)
        assert starts == sorted(starts)
        assert starts[1:] == ends[:-1]
        assert ends[-1] == clip.duration == pytest.approx(len(clip.frames) / 4000, abs=0.01)


@pytest.mark.parametrize("wav", [False, True])
def test_clips_of_a_chosen_size(wav):
    library = HistoryStore(SimulatorSettings(items=1, clip_bytes=1_000_000))
    clip = library.clip(next(library.ids()), wav=wav)
    assert len(bytes(clip)) == len(clip)
    assert 999_990 <= len(clip) < 1_030_000


def test_items_may_be_given_ids_of_their_own():
    library = HistoryStore(SimulatorSettings(items=2))
    before = list(library.ids())
    chosen = ["../../x", "é\ud800", "x" * 20]
    assert library.add(3, ids=chosen) == chosen
    assert list(library.ids()) == [*reversed(chosen), *before]
    assert [library.item(i)["history_item_id"] for i in chosen] == chosen
    assert len({bytes(library.clip(i)) for i in library.ids()}) == 5
    assert library.page(ListQuery(after="../../x")).numbers == [1, 0]
    library.remove("../../x")
    assert "../../x" not in library
    # The id that an item would have had by default does not exist.
    assert library._ids.encode(3) not in library
    for ids in (["../../x"], ["é\ud800"], before[:1], ["a", "a"], []):
        with pytest.raises(ValueError, match="that no other has"):
            library.add(max(len(ids), 1), ids=ids)


@pytest.mark.parametrize("formats", ["told", "untold"])
def test_formats_can_lie(formats):
    library = HistoryStore(SimulatorSettings(items=24, formats=formats, clip_bytes=5000))
    extensions = set()
    for item_id in library.ids():
        item, clip = library.item(item_id), library.clip(item_id)
        assert item["content_type"] == clip.content_type == "audio/mpeg"
        content = bytes(clip)
        assert len(content) == len(clip)
        assert 2000 < len(content) < 20_000
        told = str(item["output_format"] or "")
        assert bool(told) == (formats == "told")
        extension = actual_extension(content, "audio/mpeg", told)
        assert not told or extension == declared_extension("", told)
        extensions.add(extension)
    raw = {"pcm", "ulaw", "alaw"} if formats == "told" else set()
    assert extensions == {"mp3", "opus", "wav"} | raw
    assert len({bytes(library.clip(item_id)) for item_id in library.ids()}) == 24
