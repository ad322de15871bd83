"""Synthetic instruments keep the contract of sounds: onsets, ends, pitch, velocity, determinism."""

from collections import Counter

import numpy as np
import pytest

from pipeline.instrument_families import FAMILIES
from pipeline.training.sounds.base import ONSET_LEVEL, RATE_HZ, Played
from pipeline.training.sounds.synthesis import KINDS, SyntheticSound, synthetic_sounds
from pipeline.training.sounds.tuning import check_tuning, pitch_error_cents


def hz_of(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


def middle_key(sound: SyntheticSound) -> int:
    low, high = sound.keys
    return (low + high) // 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_plays_in_tune_and_on_time(kind: str) -> None:
    sound = SyntheticSound(kind, 3)
    assert sound.family in FAMILIES
    key = middle_key(sound)
    performance = sound.play([Played(0.5, 1.3, key, 96)], 2.0, np.random.default_rng(1))
    samples = performance.samples
    assert samples.dtype == np.float32
    assert samples.shape == (2 * RATE_HZ,)
    assert np.isfinite(samples).all()
    level = np.abs(samples)
    onset_s = int(np.argmax(level >= ONSET_LEVEL * level.max())) / RATE_HZ
    # Pads come late by some milliseconds against the peak of all of the note, for they still grow.
    assert onset_s == pytest.approx(0.5, abs=0.03 if sound.family == "synth pad" else 0.005)
    tone = samples[round(0.6 * RATE_HZ) : round(1.0 * RATE_HZ)]
    assert abs(pitch_error_cents(tone, hz_of(key))) < 20
    (end_s,) = performance.ends_s
    assert 0.5 < end_s <= 1.3
    if sound.held:
        assert end_s == pytest.approx(1.3)


@pytest.mark.parametrize("kind", KINDS)
def test_velocity_makes_louder(kind: str) -> None:
    sound = SyntheticSound(kind, 5)
    soft, loud = (
        np.abs(sound.play([Played(0.1, 0.8, middle_key(sound), velocity)], 1.0, np.random.default_rng(0)).samples).max()
        for velocity in (30, 120)
    )
    # A distorted guitar hardly gets louder, and an organ may not at all.
    assert loud > soft * (0.9 if sound.family in ("distorted guitar", "organ") else 1.02)


def test_same_seed_same_samples_and_another_seed_another_instrument() -> None:
    notes = [Played(0.1, 0.6, 60, 90), Played(0.2, 0.7, 64, 70)]

    def play(seed: int) -> bytes:
        sound = SyntheticSound("analogue pad", seed)
        return sound.play(notes, 1.0, np.random.default_rng(2)).samples.tobytes()

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_a_short_ring_ends_before_its_key() -> None:
    sound = SyntheticSound("bars", 11)
    performance = sound.play([Played(0.0, 20.0, sound.keys[1], 100)], 21.0, np.random.default_rng(0))
    assert performance.ends_s[0] < 15
    after = performance.samples[round(performance.ends_s[0] * RATE_HZ) + 50 :]
    assert np.abs(after).max() <= 0.011 * np.abs(performance.samples).max()


def test_notes_of_a_distorted_chord_are_distorted_together() -> None:
    sound = SyntheticSound("high gain guitar", 4)

    def played(*pitches: int) -> np.ndarray:
        notes = [Played(0.1, 1.5, pitch, 100) for pitch in pitches]
        return sound.play(notes, 1.5, np.random.default_rng(0)).samples.astype(np.float64)

    def peak_at(samples: np.ndarray, hz: float) -> float:
        spectrum = np.abs(np.fft.rfft(samples[RATE_HZ // 2 : RATE_HZ] * np.hanning(RATE_HZ // 2)))
        centre = round(hz / 2)
        return float(spectrum[centre - 3 : centre + 4].max() / spectrum.max())

    # The difference tone of a fifth lies an octave below its root; neither note has it alone.
    below = hz_of(45 - 12)
    assert peak_at(played(45, 52), below) > 5 * max(peak_at(played(45), below), peak_at(played(52), below))


def test_draws_cover_the_families() -> None:
    sounds = synthetic_sounds(np.random.default_rng(0), 150)
    assert len({sound.name for sound in sounds}) == 150
    families = Counter(sound.family for sound in sounds)
    assert set(families) == set(FAMILIES)
    assert families["synth pad"] > families["reeds and pipes"]
    assert synthetic_sounds(np.random.default_rng(0), 3) == synthetic_sounds(np.random.default_rng(0), 3)
    assert synthetic_sounds(np.random.default_rng(0), 0) == []


def test_tuning_is_measured_in_cents_and_octaves() -> None:
    time = np.arange(RATE_HZ // 2) / RATE_HZ

    def tone(hz: float) -> np.ndarray:
        return sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 9)).astype(np.float32)

    assert pitch_error_cents(tone(220.0), 220.0) == pytest.approx(0, abs=2)
    assert pitch_error_cents(tone(220.0 * 2 ** (30 / 1200)), 220.0) == pytest.approx(30, abs=2)
    assert pitch_error_cents(tone(440.0), 220.0) == pytest.approx(1200, abs=3)
    assert pitch_error_cents(tone(110.0), 220.0) == pytest.approx(-1200, abs=3)
    noise = np.random.default_rng(0).standard_normal(RATE_HZ // 2).astype(np.float32)
    assert np.isnan(pitch_error_cents(noise, 220.0))
    assert abs(check_tuning(SyntheticSound("string section", 2))) < 15
