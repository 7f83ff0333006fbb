"""Which clip a thread is shown too small."""

from __future__ import annotations

from histfs.core.estimate_probes import EstimateProbes


def test_each_thread_is_shown_its_second_clip_too_small_and_no_other():
    probes = EstimateProbes()
    assert [probes.is_probe(7, key) for key in "aabbcabd"] == [key == "b" for key in "aabbcabd"]
    assert [probes.is_probe(8, key) for key in "bab"] == [False, True, False]


def test_a_caller_that_can_not_be_told_from_others_is_shown_none_too_small():
    probes = EstimateProbes()
    assert not any(probes.is_probe(0, key) for key in "abab")
