import numpy as np
import pytest

from pipeline.notes import Note
from pipeline.transcription.silence import Audibility

RATE_HZ = 44_100


def noise(duration_s: float, level_dbfs: float) -> np.ndarray:
    samples = np.random.default_rng(0).standard_normal(round(duration_s * RATE_HZ))
    return (10 ** (level_dbfs / 20) * samples).astype(np.float32)


@pytest.mark.parametrize(("level_dbfs", "silent"), [(-120, True), (-66, True), (-55, False), (-6, False)])
def test_a_stem_is_silent_below_60_db_under_full_scale(level_dbfs, silent):
    assert Audibility(noise(3, level_dbfs), RATE_HZ).silent is silent


def test_one_short_sound_is_enough():
    audio = np.zeros(60 * RATE_HZ, dtype=np.float32)
    audio[30 * RATE_HZ : 30 * RATE_HZ + 4410] = noise(0.1, -40)
    assert not Audibility(audio, RATE_HZ).silent


@pytest.mark.parametrize("n_samples", [0, 1, 1000])
def test_audio_too_short_for_a_note_is_silent(n_samples):
    assert Audibility(np.ones(n_samples, dtype=np.float32), RATE_HZ).silent


def test_a_constant_offset_is_not_heard():
    assert Audibility(noise(3, -70) + np.float32(0.2), RATE_HZ).silent
    assert not Audibility(noise(3, -50) + np.float32(0.2), RATE_HZ).silent


def test_only_notes_that_touch_something_audible_are_heard():
    residue = noise(10, -75)
    residue[4 * RATE_HZ : 6 * RATE_HZ] = noise(2, -20)
    audibility = Audibility(residue, RATE_HZ)

    def hears(start_s: float, end_s: float) -> bool:
        return audibility.hears(Note(60, start_s, end_s, 0.5))

    assert not hears(1.0, 2.0)
    assert hears(3.9, 4.5)
    assert hears(5.9, 8.0)
    assert not hears(6.1, 9.0)
    assert not hears(9.9, 10.5)  # beyond the end


def test_the_rest_after_the_last_whole_frame_belongs_to_it():
    audio = noise(1.04, -20)
    assert Audibility(audio, RATE_HZ).hears(Note(60, 1.01, 1.04, 0.5))
