"""The bass transcriber on plucked strings made of sines, with what leaks into a bass stem, and on what is no bass."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.models.store import ModelStore
from pipeline.notes import Note
from pipeline.transcription.bass import BassTranscriber, line
from pipeline.transcription.bass_network import FIRST_PITCH, N_PITCHES, Evidence
from pipeline.transcription.pitch_track import PitchNetwork

RATE_HZ = 44_100
POLYPHONIC = [Note(60, 0.0, 1.0, 0.5)]
# (pitch, start, end): a riff with repeated notes, octaves, rests, semitones, low E and low B
RIFF = [
    (28, 0.30, 0.60), (28, 0.62, 0.90), (28, 0.92, 1.20), (40, 1.24, 1.50), (31, 1.80, 2.20), (33, 2.20, 2.60),
    (34, 2.60, 3.00), (35, 3.00, 3.55), (23, 4.00, 4.60), (28, 4.80, 5.30), (38, 5.40, 5.60), (38, 5.64, 5.84),
    (38, 5.88, 6.08), (45, 6.12, 6.60), (43, 6.90, 7.60),
]  # fmt: skip


class Chords:
    """Stands where the transcriber of several voices does; sure of these notes."""

    def __init__(self, notes: list[Note]) -> None:
        self._notes = notes

    def transcribe(self, samples, rate_hz, on_progress):
        on_progress(1.0)
        return self._notes


@pytest.fixture(scope="module")
def pitch_network(tmp_path_factory) -> PitchNetwork:
    (path,) = ModelStore(tmp_path_factory.mktemp("models")).pull("swift-f0")
    return PitchNetwork(path)


@pytest.fixture(scope="module")
def transcriber(pitch_network) -> BassTranscriber:
    return BassTranscriber(pitch_network, Chords(POLYPHONIC))


def pluck(pitch: int, duration_s: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A string's partials, higher ones fading sooner; damped within 30 ms of its end."""
    time_s = np.arange(round((duration_s + 0.1) * rate_hz)) / rate_hz
    hz = 440 * 2 ** ((pitch - 69) / 12)
    string = sum(
        np.sin(2 * np.pi * k * hz * time_s) * np.sin(0.2 * np.pi * k) / k * np.exp(-time_s * (0.8 + 0.5 * k))
        for k in range(1, 13)
    )
    return string * np.clip(time_s / 0.003, 0, 1) * np.exp(-np.maximum(time_s - duration_s, 0) / 0.02)


def played(notes, rate_hz: int = RATE_HZ, duration_s: float = 8.0) -> np.ndarray:
    out = 1e-4 * np.random.default_rng(1).standard_normal(round(duration_s * rate_hz))
    for pitch, start_s, end_s, *level in notes:
        sound = 0.3 * (level[0] if level else 1.0) * pluck(pitch, end_s - start_s, rate_hz)
        first = round(start_s * rate_hz)
        out[first : first + len(sound)] += sound[: len(out) - first]
    return out.astype(np.float32)


def kicks(duration_s: float = 8.0) -> np.ndarray:
    """A bass drum every half second."""
    time_s = np.arange(round(0.3 * RATE_HZ)) / RATE_HZ
    thud = np.sin(2 * np.pi * (50 * time_s - 2.4 * np.exp(-time_s / 0.02))) * np.exp(-time_s / 0.08)
    out = np.zeros(round(duration_s * RATE_HZ))
    for start_s in np.arange(0.3, duration_s - 0.4, 0.5):
        first = round(start_s * RATE_HZ)
        out[first : first + len(thud)] += thud
    return out.astype(np.float32)


def assert_riff(notes: list[Note]) -> None:
    assert [note.pitch for note in notes] == [pitch for pitch, _, _ in RIFF]
    for note, (_, start_s, end_s) in zip(notes, RIFF, strict=True):
        assert note.start_s == pytest.approx(start_s, abs=0.025)
        assert note.end_s == pytest.approx(end_s, abs=0.06)
        assert 0 < note.velocity <= 1
        assert 0 < note.confidence <= 1


@pytest.mark.weights
@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_a_riff_is_written_down(transcriber, rate_hz):
    assert_riff(transcriber.transcribe(played(RIFF, rate_hz), rate_hz))


@pytest.mark.weights
@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_the_level_of_the_stem_does_not_matter(transcriber, gain):
    assert_riff(transcriber.transcribe(np.float32(gain) * played(RIFF), RATE_HZ))


@pytest.mark.weights
def test_a_bass_tuned_low_is_written_at_its_notes(transcriber):
    slowed = 2 ** (-0.3 / 12)
    notes = transcriber.transcribe(played(RIFF), round(RATE_HZ * slowed))
    assert [note.pitch for note in notes] == [pitch for pitch, _, _ in RIFF]


@pytest.mark.weights
def test_leaking_kicks_are_not_notes(transcriber):
    assert_riff(transcriber.transcribe(played(RIFF) + 0.02 * kicks(), RATE_HZ))


@pytest.mark.weights
def test_louder_notes_have_higher_velocities(transcriber):
    levels = [0.15, 1.0, 0.4, 1.0, 0.15, 0.4, 1.0, 0.15, 0.4]
    pitches = [33, 33, 33, 38, 38, 38, 43, 43, 43]
    notes = [(p, 0.5 + 0.5 * i, 0.9 + 0.5 * i, level) for i, (p, level) in enumerate(zip(pitches, levels, strict=True))]
    found = transcriber.transcribe(played(notes), RATE_HZ)
    assert [note.pitch for note in found] == pitches
    velocities = np.array([note.velocity for note in found])
    assert velocities[np.array(levels) == 0.15].max() < velocities[np.array(levels) == 1.0].min()


@pytest.mark.weights
def test_chords_go_to_the_transcriber_of_several_voices(transcriber):
    chords = [(p, 0.2 + t, 1.1 + t) for t in range(7) for p in (48 + t % 3, 52 + t % 3, 55 + t % 3, 59 + t % 3)]
    assert transcriber.transcribe(played(chords), RATE_HZ) == POLYPHONIC


@pytest.mark.weights
@pytest.mark.parametrize(("confidence", "share", "several"), [(0.9, 1.0, True), (0.9, 0.1, False), (0.5, 1.0, False)])
def test_where_several_notes_are_sure_there_are_several_voices(pitch_network, confidence, share, several):
    tenths = [(pitch + 16, start_s, end_s, 0.6) for pitch, start_s, end_s in RIFF]
    duet = [Note(28, 0.0, 8.0, 0.5, confidence), Note(35, 8.0 - 8.0 * share, 8.0, 0.5, confidence)]
    told: list[float] = []
    found = BassTranscriber(pitch_network, Chords(duet)).transcribe(played([*RIFF, *tenths]), RATE_HZ, told.append)
    assert (found == duet) is several
    assert several or all(later.start_s >= note.end_s for note, later in pairwise(found))
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.weights
def test_where_one_voice_is_certain_nobody_else_is_asked(pitch_network):
    duet = [Note(28, 0.0, 8.0, 0.5, 0.9), Note(35, 0.0, 8.0, 0.5, 0.9)]
    assert_riff(BassTranscriber(pitch_network, Chords(duet)).transcribe(played(RIFF), RATE_HZ))


@pytest.mark.weights
@pytest.mark.parametrize("n_samples", [0, 1, 100, 10_000, 3 * RATE_HZ])
def test_silence_has_no_notes(transcriber, n_samples):
    assert transcriber.transcribe(np.zeros(n_samples, dtype=np.float32), RATE_HZ) == []


@pytest.mark.weights
def test_the_same_again_is_the_same(transcriber):
    samples = played(RIFF)
    assert transcriber.transcribe(samples, RATE_HZ) == transcriber.transcribe(samples, RATE_HZ)


def evidence_of(n_frames: int, spans, onsets) -> Evidence:
    sounding = np.full((n_frames, N_PITCHES), -6.0, dtype=np.float32)
    onset = np.full((n_frames, N_PITCHES), -8.0, dtype=np.float32)
    for pitch, first, stop in spans:
        sounding[first:stop, pitch - FIRST_PITCH] = 6.0
    for pitch, frame, odds in onsets:
        onset[frame, pitch - FIRST_PITCH] = odds
    return Evidence(sounding, onset, np.full((n_frames, N_PITCHES), 0.5, dtype=np.float32))


def test_a_likely_onset_divides_a_pitch_and_an_unlikely_one_does_not():
    notes = line(evidence_of(100, [(40, 10, 90)], [(40, 10, 4.0), (40, 40, 3.0), (40, 70, -3.0)]))
    assert [(note.pitch, round(note.start_s * 100), round(note.end_s * 100 + 0.5)) for note in notes] == [
        (40, 10, 40),
        (40, 40, 90),
    ]


def test_a_change_of_pitch_starts_a_note_without_an_onset():
    notes = line(evidence_of(100, [(40, 10, 50), (42, 50, 90)], [(40, 10, 4.0)]))
    assert [(note.pitch, round(note.start_s * 100)) for note in notes] == [(40, 10), (42, 50)]


def test_what_is_shorter_than_a_note_is_none():
    assert line(evidence_of(100, [(40, 10, 12)], [(40, 10, 4.0)])) == []


def test_a_long_path_tells_how_far_it_is():
    told: list[float] = []
    line(evidence_of(2500, [(40, 10, 90)], [(40, 10, 4.0)]), told.append)
    assert told == [0.0, 0.4, 0.8]
