"""Tempo and key from notes, where they differ from what is written into a score."""

import numpy as np
import pytest

from pipeline.analysis.beats import estimate_beats
from pipeline.analysis.key import Key, KeySpan
from pipeline.analysis.tempo_and_key import TempoAndKey, tempo_and_key
from pipeline.errors import Cancelled
from pipeline.notes import Instrument, Note
from support.composed import composed_song, random_onsets


def ticking(bpm: float, duration_s: float = 40.0) -> list[Instrument]:
    starts = np.arange(0.3, duration_s, 60 / bpm).tolist()
    return [Instrument("Drums", 0, True, "drums", tuple(Note(42, at, at + 0.05, 0.8) for at in starts))]


def five(bpm: float) -> list[Instrument]:
    """Bars of five: three and two."""
    kit, low = [], []
    for beat in range(int(40 * bpm / 60)):
        at, place = 0.4 + beat * 60 / bpm, beat % 5
        kit.append(Note({0: 36, 3: 36}.get(place, 38 if place in (2, 4) else 42), at, at + 0.1, 0.9))
        if place in (0, 3):
            low.append(Note(36 + (0, 5, 7, 0)[beat // 5 % 4], at, at + 110 / bpm, 0.8))
    bass = Instrument("Electric Bass (finger)", 33, False, "bass", tuple(low))
    return [Instrument("Drums", 0, True, "drums", tuple(kit)), bass]


def test_a_song() -> None:
    found = tempo_and_key(composed_song(96), 40.0)
    assert found.bpm == pytest.approx(96, rel=0.0005)
    assert found.bpm_confidence > 0.8
    assert found.beats is not None
    assert found.beats.time_signature == (4, 4)
    assert found.key is not None
    assert found.key.key == Key.on(0, minor=False)
    assert found.keys == (found.key,)
    assert found.duration_s == 40.0


@pytest.mark.parametrize("bpm", [30, 40, 45, 60, 93, 120, 174])
def test_ticks_are_counted_as_they_come(bpm: float) -> None:
    found = tempo_and_key(ticking(bpm), 40.0)
    assert found.bpm == pytest.approx(bpm, rel=0.002)
    assert found.beats is not None
    off_s = (found.beats.times_s - 0.3) % (60 / bpm)
    assert np.minimum(off_s, 60 / bpm - off_s).max() < 0.02
    assert found.keys == ()


@pytest.mark.parametrize("bpm", [150, 168])
def test_five_slow_pulses_are_quarters(bpm: float) -> None:
    found = tempo_and_key(five(bpm), 40.0)
    assert found.bpm == pytest.approx(bpm, rel=0.002)
    assert found.beats is not None
    assert found.beats.time_signature in {(5, 4), None}
    assert np.diff(found.beats.times_s) == pytest.approx(60 / bpm, rel=0.01)


def test_what_is_too_unsure_for_a_score_is_told_here_with_its_confidence() -> None:
    song = composed_song(96, duration_s=20.0, jitter_s=0.055, drums=False)
    assert estimate_beats(song) is None
    assert 0.0 < tempo_and_key(song, 20.0).bpm_confidence < 0.3


def scale(classes: tuple[int, ...]) -> list[Instrument]:
    tones = [60 + classes[3 * index % len(classes)] for index in range(40)]
    notes = tuple(Note(pitch, 0.5 * index, 0.5 * index + 0.4, 0.7) for index, pitch in enumerate(tones))
    return [Instrument("Electric Piano 1", 4, False, "other", notes)]


def test_a_key_that_is_not_clear_is_not_told() -> None:
    assert tempo_and_key(scale((0, 2, 7, 9)), 21.0).keys == ()


def test_the_whole_tone_scale_is_in_no_key() -> None:
    assert tempo_and_key(scale((0, 2, 4, 6, 8, 10)), 21.0).keys == ()


@pytest.mark.parametrize("seed", range(4))
def test_random_onsets_have_no_tempo(seed: int) -> None:
    found = tempo_and_key(random_onsets(60, 6, seed), 60.0)
    assert (found.bpm, found.bpm_confidence) == (None, 0.0)


def test_nothing_has_neither() -> None:
    found = tempo_and_key([], 5.0)
    assert (found.bpm, found.bpm_confidence, found.beats, found.keys, found.key) == (None, 0.0, None, (), None)


def test_the_key_is_the_one_that_lasts_longest() -> None:
    c, d = Key.on(0, minor=False), Key.on(2, minor=False)
    spans = (KeySpan(0.0, 30.0, c, 0.9), KeySpan(30.0, 70.0, d, 0.8), KeySpan(70.0, 90.0, c, 0.7))
    assert TempoAndKey(90.0, None, spans).key == spans[0]


def test_it_can_be_stopped() -> None:
    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        tempo_and_key(composed_song(96), 40.0, stop)
