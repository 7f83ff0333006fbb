"""How far a clip may exceed its estimate, by how wrong the estimates of clips like it were."""

from __future__ import annotations

import random

import pytest

from histfs.core.size_estimate import BUFFER
from histfs.core.size_margin import Likeness, SizeMargins, above_header

PAGE = 4096
MP3 = Likeness("audio/mpeg mp3_44100_128", "1,2", "3")
ANOTHER_VOICE = MP3._replace(voice="4")
ANOTHER_MODEL = MP3._replace(origin="9,2")


def learnt(ratios, likeness=MP3):
    margins = SizeMargins()
    for ratio in ratios:
        margins.learn(likeness, 100_000, round(100_000 * ratio))
    return margins


def test_a_clip_of_which_nothing_is_known_may_be_twice_as_large():
    size = SizeMargins().upper(MP3, 100_000)
    assert 200_000 + PAGE <= size < 201_000 + PAGE
    assert SizeMargins().expected(MP3, 100_000) == 100_000


def test_or_half_as_large():
    assert SizeMargins().lower(MP3, 100_001) == 50_000
    assert learnt([1.5] * 64).lower(MP3, 100_000) > 130_000
    assert learnt([1.5, 0.4]).lower(MP3, 100_000) < 40_000
    assert learnt([1.0] * 64).lower(ANOTHER_MODEL, 100_001) == 50_000
    assert SizeMargins().lower(MP3, 1) == 1


def test_the_more_is_known_the_less_is_added():
    sizes = [learnt([1.01] * count).upper(MP3, 100_000) for count in (1, 4, 16, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 119_000
    assert learnt([1.5] * 3).expected(MP3, 100_000) == 150_000


def test_of_clips_whose_sizes_vary_hardly_one_exceeds_what_is_shown():
    chance = random.Random(1)
    ratios = [chance.lognormvariate(0.3, 0.25) for _ in range(2000)]
    margins, exceeding = SizeMargins(), 0
    for ratio in ratios:
        size = round(50_000 * ratio)
        exceeding += size > margins.upper(MP3, 50_000)
        margins.learn(MP3, 50_000, size)
    assert exceeding <= 10
    assert margins.upper(MP3, 50_000) < 3.5 * 50_000


def test_what_is_shown_is_above_each_clip_that_was_seen_and_no_buffer_ends_there():
    for estimate in range(900, 70_000, 997):
        margins = learnt([0.5, 0.7, 1.9])
        assert margins.upper(MP3, estimate) >= 1.9 * estimate + PAGE
        assert margins.upper(MP3, estimate) % BUFFER


def test_another_voice_is_thought_to_vary_as_the_known_ones_do():
    margins = learnt([1.2] * 40)
    known, other = (margins.upper(each, 100_000) for each in (MP3, ANOTHER_VOICE))
    assert 120_000 < known <= other < 200_000


def test_a_voice_that_was_larger_than_the_others_stays_so():
    margins = learnt([1.0] * 200)
    margins.learn(ANOTHER_VOICE, 100_000, 300_000)
    for _ in range(100):
        margins.learn(MP3, 100_000, 100_000)
    assert margins.upper(ANOTHER_VOICE, 100_000) > 300_000


@pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
def test_of_another_model_nothing_is_known(ratio):
    margins = learnt([ratio] * 100)
    assert margins.upper(ANOTHER_MODEL, 100_000) >= 100_000 * max(2, ratio)


def test_one_odd_clip_does_not_make_all_others_huge():
    assert learnt([1.0] * 20 + [50.0]).upper(MP3, 100_000) < 150_000
    assert learnt([1.0] * 20 + [0.01]).lower(MP3, 100_000) > 70_000
    assert learnt([100_000.0]).upper(MP3, 100_000) < 300 * 100_000


def test_where_all_estimates_are_wrong_the_first_clip_tells():
    assert learnt([50.0]).upper(MP3, 20_000) > 50 * 20_000
    assert learnt([50.0] * 20).upper(ANOTHER_MODEL, 20_000) > 50 * 20_000


def test_an_encoder_that_has_changed_is_followed():
    assert learnt([4.0] * 10 + [1.0] * 64).upper(MP3, 100_000) < 120_000


def test_a_header_may_leave_out_the_tags_at_the_end():
    assert above_header(10_000) >= 10_000 + PAGE
    assert above_header(512 * 8) % BUFFER


def test_what_is_learnt_counts_from_the_next_size_on():
    margins, before = SizeMargins(), []
    for ratio in (1.01, 1.02, 2.5, 0.3):
        for likeness in (MP3, ANOTHER_VOICE, ANOTHER_MODEL):
            for size in (margins.upper, margins.lower):
                size(likeness, 100_000)
        before.append(ratio)
        margins.learn(MP3, 100_000, round(100_000 * ratio))
        fresh = learnt(before)
        for likeness in (MP3, ANOTHER_VOICE, ANOTHER_MODEL):
            assert margins.upper(likeness, 100_000) == fresh.upper(likeness, 100_000)
            assert margins.lower(likeness, 100_000) == fresh.lower(likeness, 100_000)
