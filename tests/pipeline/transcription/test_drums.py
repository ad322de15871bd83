"""The drum transcriber on strokes made of sines and noise, and on inputs that are no drums at all."""

import itertools
import json
from pathlib import Path

import mir_eval
import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from pipeline.notes import Note
from pipeline.transcription.drum_network import load_network
from pipeline.transcription.drums import DrumTranscriber

RATE_HZ = 44_100
KICK, SNARE, CLOSED_HAT, OPEN_HAT = 36, 38, 42, 46
LOW_TOM, MID_TOM, HIGH_TOM = 41, 45, 48
TOMS = {LOW_TOM, MID_TOM, HIGH_TOM}
DEMO_SONG = Path(__file__).parents[3] / "service" / "demo" / "song"
STEP_S = 0.25
TOLERANCE_S = 0.02

Samples = np.ndarray


def seconds(duration_s: float) -> Samples:
    return np.arange(round(duration_s * RATE_HZ)) / RATE_HZ


def noise_burst(low_hz: float, high_hz: float, decay_s: float) -> Samples:
    t = seconds(0.4)
    band = scipy.signal.butter(2, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos")
    noise = scipy.signal.sosfilt(band, np.random.default_rng(3).standard_normal(len(t)))
    burst = noise * np.exp(-t / decay_s)
    return burst / np.abs(burst).max()


def swept_sine(start_hz: float, end_hz: float, decay_s: float) -> Samples:
    t = seconds(0.5)
    hz = end_hz + (start_hz - end_hz) * np.exp(-t / 0.02)
    ring_out = np.minimum(1.0, t[::-1] / 0.2)
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.exp(-t / decay_s) * ring_out


def kick() -> Samples:
    return swept_sine(150, 52, 0.12)


def snare() -> Samples:
    body = swept_sine(240, 190, 0.06)
    wires = noise_burst(400, 12_000, 0.08)
    return 0.4 * body + 0.6 * np.pad(wires, (0, len(body) - len(wires)))


def closed_hat() -> Samples:
    return 0.25 * noise_burst(7000, 18_000, 0.025)


STROKES = {KICK: kick, SNARE: snare, CLOSED_HAT: closed_hat}


def performance(strokes: list[tuple[float, Samples]], duration_s: float) -> np.ndarray:
    audio = np.zeros(round(duration_s * RATE_HZ))
    for start_s, sample in strokes:
        first = round(start_s * RATE_HZ)
        audio[first : first + len(sample)] += sample[: len(audio) - first]
    return (0.5 * audio).astype(np.float32)


def rock_beat(bars: int = 4) -> tuple[np.ndarray, list[tuple[float, int]]]:
    """Eighth-note hats with a kick on one and three and a snare on two and four; most strokes coincide with a hat."""
    truth = []
    for step in range(8 * bars):
        at = 0.1 + STEP_S * step
        truth.append((at, CLOSED_HAT))
        if step % 4 == 0:
            truth.append((at, KICK))
        if step % 4 == 2:
            truth.append((at, SNARE))
    audio = performance([(at, STROKES[key]()) for at, key in truth], 0.1 + STEP_S * 8 * bars + 0.5)
    return audio, truth


def hiss(duration_s: float, level: float) -> np.ndarray:
    return (level * np.random.default_rng(5).standard_normal(round(duration_s * RATE_HZ))).astype(np.float32)


def onsets(notes: list[Note], key: int) -> list[float]:
    return [note.start_s for note in notes if note.pitch == key]


def transcribe(samples: np.ndarray, rate_hz: int = RATE_HZ) -> list[Note]:
    return DrumTranscriber(load_network(torch.device("cpu"))).transcribe(samples, rate_hz)


@pytest.mark.parametrize("key", [KICK, SNARE, CLOSED_HAT])
def test_every_stroke_of_a_beat_is_found_in_time_and_in_its_class(key: int) -> None:
    audio, truth = rock_beat()
    expected = [at for at, k in truth if k == key]
    found = onsets(transcribe(audio), key)
    assert len(found) == len(expected)
    assert np.abs(np.array(found) - expected).max() < TOLERANCE_S


def test_nothing_but_the_strokes_of_a_beat_is_found() -> None:
    audio, truth = rock_beat()
    assert len(transcribe(audio)) == len(truth)


def test_a_beat_survives_level_hiss_and_clipping() -> None:
    audio, truth = rock_beat()
    for disturbed in (0.02 * audio, audio + hiss(len(audio) / RATE_HZ, 0.001), np.clip(3 * audio, -1, 1)):
        notes = transcribe(disturbed.astype(np.float32))
        for key in (KICK, SNARE):
            expected = [at for at, k in truth if k == key]
            found = onsets(notes, key)
            assert len(found) == len(expected)
            assert np.abs(np.array(found) - expected).max() < TOLERANCE_S


def test_level_does_not_change_the_notes() -> None:
    audio, _ = rock_beat()
    loud, quiet = transcribe(audio), transcribe(0.125 * audio)
    assert [(n.pitch, round(n.start_s, 3)) for n in loud] == [(n.pitch, round(n.start_s, 3)) for n in quiet]


def test_toms_are_told_apart_by_pitch() -> None:
    stick = np.pad(noise_burst(500, 4000, 0.01), (0, round(0.1 * RATE_HZ)))
    strokes = [swept_sine(1.2 * hz, hz, 0.15) + 0.1 * stick for hz in (85, 125, 190)]
    audio = performance([(0.2 + 0.6 * i, strokes[i % 3]) for i in range(9)], 6.0)
    found = [note for note in transcribe(audio) if note.pitch in TOMS]
    assert [note.pitch for note in found] == [LOW_TOM, MID_TOM, HIGH_TOM] * 3


def test_a_harder_stroke_has_a_higher_velocity() -> None:
    gains = [0.15, 1.0] * 4
    audio = performance([(0.2 + 0.4 * i, gain * snare()) for i, gain in enumerate(gains)], 3.8)
    velocities = [note.velocity for note in transcribe(audio) if note.pitch == SNARE]
    assert len(velocities) == len(gains)
    assert max(velocities[::2]) < min(velocities[1::2])


def test_a_stroke_at_the_very_start_is_found() -> None:
    notes = transcribe(performance([(0.0, snare()), (0.5, kick())], 1.5))
    assert onsets(notes, SNARE) == [pytest.approx(0.0, abs=TOLERANCE_S)]


def test_notes_are_valid_sorted_and_do_not_overlap_on_a_key() -> None:
    fast = [(0.1 + 0.06 * i, snare()) for i in range(20)]
    notes = transcribe(performance([*fast, (0.7, closed_hat())], 2.0))
    assert notes == sorted(notes, key=lambda n: (n.start_s, n.pitch))
    for note in notes:
        assert 0 <= note.start_s < note.end_s
        assert 0 < note.velocity <= 1
    for key in {note.pitch for note in notes}:
        mine = [note for note in notes if note.pitch == key]
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(mine))


def test_the_same_samples_give_the_same_notes() -> None:
    audio, _ = rock_beat(bars=2)
    assert transcribe(audio) == transcribe(audio.copy())


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 48_000])
def test_other_rates_find_the_kicks_at_the_same_times(rate_hz: int) -> None:
    audio, truth = rock_beat(bars=2)
    divisor = int(np.gcd(rate_hz, RATE_HZ))
    converted = scipy.signal.resample_poly(audio, rate_hz // divisor, RATE_HZ // divisor).astype(np.float32)
    expected = [at for at, k in truth if k == KICK]
    found = onsets(transcribe(converted, rate_hz), KICK)
    assert len(found) == len(expected)
    assert np.abs(np.array(found) - expected).max() < TOLERANCE_S


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        np.ones(1, np.float32),
        np.zeros(RATE_HZ, np.float32),
        np.full(RATE_HZ, 0.7, np.float32),
        hiss(3.0, 0.0003),
    ],
    ids=["empty", "one zero", "one sample", "silence", "constant", "faint hiss"],
)
def test_no_drums_no_notes(samples: np.ndarray) -> None:
    assert transcribe(samples) == []


def test_loud_hiss_and_held_tones_give_next_to_nothing() -> None:
    t = seconds(8.0)
    fade = np.minimum(1.0, np.minimum(t, t[::-1]) / 0.5)
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (110.0, 220.0, 277.2, 329.6)) * fade * 0.1
    assert len(transcribe(hiss(8.0, 0.1))) <= 4
    assert len(transcribe(chord.astype(np.float32))) <= 4


@pytest.mark.parametrize(("key", "at_least"), [(KICK, 0.9), (CLOSED_HAT, 0.85)])
def test_drums_are_heard_through_a_whole_band(key: int, at_least: float) -> None:
    """The demo song's mix: bass, piano and flute are the worst leakage there can be.  Onset F within 50 ms."""
    audio, rate_hz = soundfile.read(DEMO_SONG / "harbour-lights.ogg", dtype="float32")
    truth = json.loads((DEMO_SONG / "harbour-lights.notes.json").read_text(encoding="utf-8"))
    (drums,) = (instrument for instrument in truth["instruments"] if instrument["is_drum"])
    expected = np.array([note["start"] for note in drums["notes"] if note["pitch"] == key])
    found = np.array(onsets(transcribe(audio.mean(axis=1), rate_hz), key))
    assert mir_eval.onset.f_measure(expected, found)[0] >= at_least
