"""Instruments of one recording: in tune, on time, as long as their loop or their recording lets them."""

import numpy as np
import pytest

from pipeline.training.errors import TrainingError
from pipeline.training.sounds.base import ONSET_LEVEL, RATE_HZ, Played
from pipeline.training.sounds.collection import Sources, load_sounds
from pipeline.training.sounds.synthesis import SyntheticSound
from pipeline.training.sounds.tracked import TrackedSound, tracked_sounds
from pipeline.training.sounds.tuning import pitch_error_cents

STRINGS = SyntheticSound("string section", 2)
MARIMBA = SyntheticSound("bars", 11)
SEEDS = range(40)


def looped(seed: int, source: SyntheticSound = STRINGS) -> TrackedSound:
    """The first from this seed on that has a loop."""
    return next(sound for number in range(seed, seed + 30) if (sound := TrackedSound(source, number)).held)


def play(sound: TrackedSound, pitch: int, held_s: float, velocity: int = 100) -> tuple[np.ndarray, float]:
    """What is heard from the onset of one note on, which is asked for at 0.5 s, and when it ends after that."""
    performance = sound.play([Played(0.5, 0.5 + held_s, pitch, velocity)], held_s + 1.5, np.random.default_rng(0))
    level = np.abs(performance.samples)
    first = int(np.argmax(level >= ONSET_LEVEL * level[: round(1.5 * RATE_HZ)].max()))
    assert first / RATE_HZ == pytest.approx(0.5, abs=0.005)
    return performance.samples[RATE_HZ // 2 :], performance.ends_s[0] - 0.5


def cents_off(samples: np.ndarray, pitch: int, from_s: float) -> float:
    return abs(pitch_error_cents(samples[round(from_s * RATE_HZ) :][: RATE_HZ // 2], 440 * 2 ** ((pitch - 69) / 12)))


def test_it_is_in_tune_over_all_its_keys_and_on_time() -> None:
    for seed in (0, 10, 20):
        sound = looped(seed)
        low, high = sound.keys
        assert high - low >= 24
        for pitch in (low, (low + high) // 2, high):
            samples, _ = play(sound, pitch, 1.0)
            assert cents_off(samples, pitch, 0.2) < 15


def test_a_loop_lasts_as_long_as_the_key_is_held() -> None:
    samples, end_s = play(looped(0), 60, 8.0)
    assert end_s == 8.0
    held = np.abs(samples[: 8 * RATE_HZ]).reshape(-1, RATE_HZ // 2).max(axis=1)
    assert held[-1] > 0.2 * held.max()
    # Where it has gone round many times: each turn begins as loud as the last one ended, and at the same pitch
    late = np.abs(samples[6 * RATE_HZ : 8 * RATE_HZ]).reshape(-1, RATE_HZ // 10).max(axis=1)
    assert late.min() > 0.5 * late.max()
    assert cents_off(samples, 60, 6.0) < 15
    assert not samples[round(8.7 * RATE_HZ) :].any()


def test_without_a_loop_it_ends_with_its_recording_which_is_shorter_the_higher_the_key() -> None:
    sound = next(sound for seed in SEEDS if not (sound := TrackedSound(STRINGS, seed)).held)
    low, high = sound.keys
    _, low_s = play(sound, low, 20.0)
    _, high_s = play(sound, high, 20.0)
    assert low_s / high_s == pytest.approx(2 ** ((high - low) / 12), rel=0.1)
    assert low_s < 20


def test_the_same_seed_is_the_same_instrument_and_others_are_others() -> None:
    def tone(seed: int) -> bytes:
        return play(TrackedSound(MARIMBA, seed), 60, 0.5)[0].tobytes()

    assert tone(1) == tone(1)
    assert len({tone(seed) for seed in range(5)}) == 5


def test_softer_is_quieter() -> None:
    sound = TrackedSound(MARIMBA, 3)
    soft, loud = (np.abs(play(sound, 60, 0.5, velocity)[0]).max() for velocity in (40, 120))
    assert soft < 0.6 * loud


def test_they_are_made_of_the_other_sources_and_none_is_out_of_tune() -> None:
    sounds, _ = load_sounds(Sources((), synthetic=20, tracked=30))
    tracked = [sound for sound in sounds if isinstance(sound, TrackedSound)]
    assert 20 <= len(tracked) <= 30
    assert {sound.family for sound in tracked} <= {sound.family for sound in sounds[:20]}
    assert len({sound.name for sound in tracked}) == len(tracked)
    for sound in tracked:
        pitch = (sound.keys[0] + sound.keys[1]) // 2
        samples, _ = play(sound, pitch, 1.0)
        off = cents_off(samples, pitch, 0.2)
        assert np.isnan(off) or min(abs(off - stop) for stop in (0, 1200, 2400)) < 40, sound.name
    again = tracked_sounds(sounds[:20], np.random.default_rng((0, 1)), 30)
    assert [sound.name for sound in again] == [sound.name for sound in tracked]


def test_what_is_two_octaves_off_is_not_recorded() -> None:
    class Harmonics(SyntheticSound):
        """Sounds two octaves above its keys."""

        def play(self, notes, length_s, rng):
            higher = [Played(note.start_s, note.end_s, note.pitch + 24, note.velocity) for note in notes]
            return super().play(higher, length_s, rng)

    assert tracked_sounds([Harmonics("bars", 11)], np.random.default_rng(0), 10) == []
    assert len(tracked_sounds([MARIMBA], np.random.default_rng(0), 10)) > 5


def test_there_must_be_something_to_record() -> None:
    with pytest.raises(TrainingError, match="--tracked"):
        load_sounds(Sources((), tracked=3))
