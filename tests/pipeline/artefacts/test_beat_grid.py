"""The beats of songs whose tempo is known, and none where there is none."""

import numpy as np
import pytest

from pipeline.artefacts.grid import DETECTED_FROM, FALLBACK_BPM, estimate_grid
from pipeline.notes import Instrument, Note
from support.composed import composed_song, random_onsets


@pytest.mark.parametrize("bpm", [75, 96, 120, 150])
@pytest.mark.parametrize(
    "feel",
    [{}, {"swing": 0.6, "jitter_s": 0.02}, {"swing": 0.667}, {"start_s": 3.3}],
    ids=["even", "swing and jitter", "shuffle", "late start"],
)
def test_steady_songs(bpm: int, feel: dict[str, float]) -> None:
    start_s = feel.get("start_s", 0.7)
    grid = estimate_grid(composed_song(bpm, **feel))
    assert grid.detected
    assert grid.bpm == pytest.approx(bpm, rel=0.005)  # 2 % was asked for
    assert grid.beats_s[0] == pytest.approx(start_s, abs=0.02)  # the first downbeat
    assert np.diff(grid.beats_s) == pytest.approx(60 / bpm, rel=0.005)


@pytest.mark.parametrize("bpm", [96, 120, 150])
def test_a_song_without_drums(bpm: int) -> None:
    grid = estimate_grid(composed_song(bpm, drums=False))
    assert grid.detected
    assert grid.bpm == pytest.approx(bpm, rel=0.005)


def test_a_tempo_that_slackens_is_followed() -> None:
    grid = estimate_grid(composed_song(120, slowing=0.08, duration_s=60))
    assert grid.detected
    bars = np.diff(grid.beats_s[::4])
    assert 60 / bars[0] * 4 == pytest.approx(120, rel=0.015)
    assert 60 / bars[-3] * 4 == pytest.approx(120 / 1.08, rel=0.015)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("duration_s", "per_s"), [(20, 3), (60, 6), (120, 9)])
def test_random_onsets_have_no_tempo(seed: int, duration_s: int, per_s: int) -> None:
    grid = estimate_grid(random_onsets(duration_s, per_s, seed))
    assert not grid.detected
    assert grid.confidence < DETECTED_FROM
    assert grid.bpm == FALLBACK_BPM
    assert np.diff(grid.beats_s) == pytest.approx(60 / FALLBACK_BPM)


def test_the_fixed_grid_begins_with_the_bar_of_the_first_note() -> None:
    note = Note(60, 5.2, 9.0, 0.5)
    grid = estimate_grid([Instrument("Voice Oohs", 53, False, "vocals", (note,))])
    assert not grid.detected
    assert grid.confidence == 0.0
    assert grid.beats_s[0] == 4.0
    assert grid.beats_s[-1] > 9.0


def test_notes_at_one_moment_have_no_tempo() -> None:
    chord = tuple(Note(pitch, 1.0, 2.0, 0.5) for pitch in range(40, 80))
    assert not estimate_grid([Instrument("Electric Piano 1", 4, False, "other", chord)]).detected


def test_no_notes() -> None:
    grid = estimate_grid([])
    assert not grid.detected
    assert grid.beats_s[0] == 0.0


def test_positions_count_beats_from_the_first_downbeat() -> None:
    grid = estimate_grid(composed_song(120, start_s=1.0, jitter_s=0.0))
    assert grid.position(np.array([1.0, 1.25, 3.0])) == pytest.approx([0.0, 0.5, 4.0], abs=0.01)
