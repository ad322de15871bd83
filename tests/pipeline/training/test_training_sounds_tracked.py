"""Instruments of one recording: in tune, on time, as long as their loop or their recording lets them."""

import numpy as np
import pytest

from pipeline.training.sounds.base import RATE_HZ, Played
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
    assert not performance.samples[: RATE_HZ // 2 - 2000].any()
    return performance.samples[RATE_HZ // 2 :], performance.ends_s[0] - 0.5


def test_it_is_in_tune_over_all_its_keys_and_on_time() -> None:
    for seed in (0, 10, 20):
        sound = looped(seed)
        low, high = sound.keys
        assert high - low >= 24
        for pitch in (low, (low + high) // 2, high):
            samples, _ = play(sound, pitch, 1.0)
            tone = samples[RATE_HZ // 5 : RATE_HZ * 3 // 5]
            assert abs(pitch_error_cents(tone, 440 * 2 ** ((pitch - 69) / 12))) < 15
            assert np.argmax(np.abs(samples) > 0.04 * np.abs(samples[:RATE_HZ]).max()) < 0.005 * RATE_HZ


def test_a_loop_lasts_as_long_as_the_key_is_held() -> None:
    samples, end_s = play(looped(0), 60, 8.0)
    assert end_s == 8.0
    held = np.abs(samples[: 8 * RATE_HZ]).reshape(-1, RATE_HZ // 2).max(axis=1)
    assert held[-1] > 0.2 * held.max()
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
    assert all(sound.in_tune() for sound in tracked)
    again = tracked_sounds(sounds[:20], np.random.default_rng((0, 1)), 30)
    assert [sound.name for sound in again] == [sound.name for sound in tracked]
