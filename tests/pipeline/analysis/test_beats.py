"""Beats, bars and time signatures of songs that are known, and none where there are none."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.analysis.beats import LEAST_CONFIDENCE, Beats, estimate_beats
from pipeline.analysis.onsets import backbeat_s
from pipeline.errors import Cancelled
from pipeline.notes import Instrument, Note
from support.composed import composed_song, random_onsets


def found(instruments: Sequence[Instrument]) -> Beats:
    beats = estimate_beats(instruments)
    assert beats is not None
    assert np.all(np.diff(beats.times_s) > 0)
    assert np.all(np.diff(beats.downbeats) > 0)
    return beats


@pytest.mark.parametrize("bpm", [75, 96, 120, 150])
@pytest.mark.parametrize(
    "feel",
    [{}, {"swing": 0.6, "jitter_s": 0.02}, {"swing": 0.667}, {"start_s": 3.3}],
    ids=["even", "swing and jitter", "shuffle", "late start"],
)
def test_steady_songs(bpm: int, feel: dict[str, float]) -> None:
    beats = found(composed_song(bpm, **feel))
    assert beats.steady
    assert beats.bpm == pytest.approx(bpm, rel=0.0005)
    assert np.diff(beats.times_s) == pytest.approx(60 / bpm, rel=0.0005)
    first_s = feel.get("start_s", 0.7)
    assert beats.time_signature == (4, 4)
    assert beats.beats_per_bar == 4
    off_bars = (beats.times_s[beats.downbeats] - first_s) / (240 / bpm)
    assert off_bars == pytest.approx(np.rint(off_bars), abs=0.02)
    assert np.diff(beats.downbeats).tolist() == [4] * (len(beats.downbeats) - 1)
    assert beats.confidence > 0.8
    assert LEAST_CONFIDENCE < beats.downbeat_confidence <= 0.9


def test_a_tempo_that_is_no_whole_number_is_not_rounded() -> None:
    assert found(composed_song(117.4, duration_s=60)).bpm == pytest.approx(117.4, rel=0.0005)


def test_a_tempo_that_slackens_is_followed() -> None:
    beats = found(composed_song(120, slowing=0.08, duration_s=60))
    assert not beats.steady
    periods = np.diff(beats.times_s)
    assert 60 / periods[:4].mean() == pytest.approx(120, rel=0.015)
    assert 60 / periods[-8:-2].mean() == pytest.approx(120 / 1.08, rel=0.015)


def waltz(bpm: float, n_bars: int = 24) -> list[Instrument]:
    """Bass on one, chords on two and three, and a drummer."""
    beat_s = 60 / bpm
    low, high, kit = [], [], []
    for bar in range(n_bars):
        root = (0, 9, 5, 7)[bar % 4]
        at_s = 0.5 + bar * 3 * beat_s
        low.append(Note(36 + root, at_s, at_s + beat_s, 0.8))
        kit.append(Note(36, at_s, at_s + 0.1, 0.9))
        for beat in (1, 2):
            start_s = at_s + beat * beat_s
            high += [Note(60 + root + tone, start_s, start_s + 0.6 * beat_s, 0.6) for tone in (0, 4, 7)]
            kit.append(Note(38, start_s, start_s + 0.1, 0.5))
    return [
        Instrument("Drums", 0, True, "drums", tuple(kit)),
        Instrument("Acoustic Bass", 32, False, "bass", tuple(low)),
        Instrument("Acoustic Grand Piano", 0, False, "other", tuple(high)),
    ]


@pytest.mark.parametrize("bpm", [96, 132])
def test_a_waltz(bpm: int) -> None:
    beats = found(waltz(bpm))
    assert beats.bpm == pytest.approx(bpm, rel=0.0005)
    assert beats.time_signature == (3, 4)
    assert beats.times_s[beats.downbeats[2]] % (180 / bpm) == pytest.approx(0.5 % (180 / bpm), abs=0.02)


def jig(bpm: float, n_bars: int = 24) -> list[Instrument]:
    """Six eighths a bar, the drummer and the bass on the dotted quarters."""
    eighth_s = 20 / bpm
    kit, low, tune = [], [], []
    for bar in range(n_bars):
        root = (0, 9, 5, 7)[bar % 4]
        for place, tone in enumerate((0, 4, 7, 12, 7, 4)):
            at_s = 0.6 + (6 * bar + place) * eighth_s
            tune.append(Note(67 + root + tone, at_s, at_s + 0.9 * eighth_s, 0.6))
            kit.append(Note({0: 36, 3: 38}.get(place, 42), at_s, at_s + 0.1, 0.5 if place % 3 else 0.9))
            if place % 3 == 0:
                low.append(Note(36 + root + (7 if place else 0), at_s, at_s + 1.5 * eighth_s, 0.8))
    return [
        Instrument("Drums", 0, True, "drums", tuple(kit)),
        Instrument("Acoustic Bass", 32, False, "bass", tuple(low)),
        Instrument("Flute", 73, False, "other", tuple(tune)),
    ]


@pytest.mark.parametrize("bpm", [70, 110])
def test_six_eight_is_beaten_in_dotted_quarters(bpm: int) -> None:
    beats = found(jig(bpm))
    assert beats.bpm == pytest.approx(bpm, rel=0.0005)
    assert (beats.time_signature, beats.beats_per_bar) == ((6, 8), 2)
    bar_s = 120 / bpm
    off_bars = (beats.times_s[beats.downbeats] - 0.6) / bar_s
    assert off_bars == pytest.approx(np.rint(off_bars), abs=0.02)


def strokes(pitch: int, period_s: float, velocity: float, n: int = 20, jitter_s: float = 0.0) -> tuple[Note, ...]:
    at = 0.5 + period_s * np.arange(n) + np.random.default_rng(0).normal(0, jitter_s, n)
    return tuple(Note(pitch, start, start + 0.1, velocity) for start in at.tolist())


def test_back_beats_are_the_loud_strokes_of_the_snare() -> None:
    ghosts = strokes(38, 0.25, 0.2, n=80)
    assert backbeat_s([Instrument("Drums", 0, True, "drums", strokes(38, 1.0, 0.9) + ghosts)]) == pytest.approx(1.0)
    assert backbeat_s([Instrument("Drums", 0, True, "drums", strokes(36, 1.0, 0.9))]) is None
    assert backbeat_s([Instrument("Drums", 0, True, "drums", strokes(38, 1.0, 0.9, n=6))]) is None
    assert backbeat_s([Instrument("Drums", 0, True, "drums", strokes(38, 1.0, 0.9, jitter_s=0.3))]) is None


def test_beats_go_from_the_first_note_to_the_last() -> None:
    song = composed_song(120, start_s=1.0)
    beats = found(song)
    assert 0.4 < beats.times_s[0] < 1.1
    assert beats.times_s[-1] > max(note.start_s for one in song for note in one.notes) - 1.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("duration_s", "per_s"), [(20, 3), (60, 6), (120, 9)])
def test_random_onsets_have_no_beat(seed: int, duration_s: int, per_s: int) -> None:
    assert estimate_beats(random_onsets(duration_s, per_s, seed)) is None


def test_a_tune_out_of_time_has_no_beat() -> None:
    rng = np.random.default_rng(3)
    at = np.cumsum(rng.choice([0.3, 0.5, 0.8, 1.2, 2.0], 60) * np.exp(0.35 * rng.normal(size=60)))
    tune = tuple(Note(int(rng.integers(55, 75)), start, start + 0.4, 0.7) for start in at.tolist())
    assert estimate_beats([Instrument("Voice Oohs", 53, False, "vocals", tune)]) is None


def test_too_few_notes_have_no_beat() -> None:
    assert estimate_beats([]) is None
    chord = tuple(Note(pitch, 1.0, 2.0, 0.5) for pitch in range(40, 80))
    assert estimate_beats([Instrument("Electric Piano 1", 4, False, "other", chord)]) is None


def test_the_same_notes_give_the_same_beats() -> None:
    one, other = found(composed_song(100)), found(composed_song(100))
    assert one.times_s.tobytes() == other.times_s.tobytes()
    assert one.confidence == other.confidence


def test_progress_is_told_and_stops_the_work() -> None:
    told: list[float] = []
    estimate_beats(composed_song(100), told.append)
    assert told == sorted(told)
    assert len(told) > 10
    assert told[-1] == 1.0

    def stop(_fraction: float) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        estimate_beats(composed_song(100), stop)
