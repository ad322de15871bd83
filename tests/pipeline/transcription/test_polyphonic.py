from itertools import pairwise

import numpy as np
import pytest

from pipeline.notes import Note
from pipeline.transcription import polyphonic
from pipeline.transcription.basic_pitch import Activations, BasicPitchNetwork, frame_times_s
from pipeline.transcription.note_evidence import gather, on_grid
from pipeline.transcription.partials import HOP_SAMPLES, band_levels
from pipeline.transcription.polyphonic import GUITAR, OTHER, PIANO, DecodingSettings, PolyphonicTranscriber

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def network(network_path) -> BasicPitchNetwork:
    return BasicPitchNetwork(network_path)


def plucked(pitch: int, held_s: float, velocity: float, brightness: float = 1.2) -> np.ndarray:
    """A string: eight partials that decay, the high ones sooner, damped when the key goes up."""
    time_s = np.arange(round((held_s + 0.3) * RATE_HZ)) / RATE_HZ
    out = np.zeros(len(time_s))
    for n in range(1, 9):
        f = n * 440 * 2 ** ((pitch - 69) / 12)
        out += n**-brightness * np.sin(2 * np.pi * f * time_s + n) * np.exp(-time_s * (0.7 + 0.3 * n))
    damped = np.exp(-np.maximum(time_s - held_s, 0) / 0.03)
    return (velocity * np.minimum(time_s / 0.003, 1) * damped * out).astype(np.float32)


def played(notes: list[tuple[float, float, int, float]], duration_s: float) -> np.ndarray:
    audio = np.zeros(round(duration_s * RATE_HZ), dtype=np.float32)
    for start_s, end_s, pitch, velocity in notes:
        sound = 0.15 * plucked(pitch, end_s - start_s, velocity)
        at = round(start_s * RATE_HZ)
        sound = sound[: len(audio) - at]
        audio[at : at + len(sound)] += sound
    return audio


CHORDS = [
    (0.5 + 0.75 * i, 0.5 + 0.75 * i + 0.6, pitch, 1.0)
    for i, chord in enumerate([(48, 55, 64), (53, 57, 60), (55, 59, 62), (48, 52, 55), (45, 57, 60), (43, 55, 71)])
    for pitch in chord
]


def matched(true: list[tuple[float, float, int, float]], found: list[Note]) -> list[tuple[tuple, Note]]:
    return [
        (note, near[0])
        for note in true
        if (near := [f for f in found if f.pitch == note[2] and abs(f.start_s - note[0]) < 0.03])
    ]


def test_chords_are_found_on_time_with_their_ends_and_without_ghosts(network):
    notes = PolyphonicTranscriber(network, PIANO).transcribe(played(CHORDS, 6.0), RATE_HZ)
    pairs = matched(CHORDS, notes)
    assert len(pairs) >= 17  # of 18
    assert len(notes) <= 19
    assert np.median([abs(found.start_s - true[0]) for true, found in pairs]) < 0.01
    assert np.median([abs(found.end_s - true[1]) for true, found in pairs]) < 0.05
    assert all(PIANO.least_confidence <= note.confidence <= 1 and 0 < note.velocity <= 1 for note in notes)


def test_velocity_follows_the_energy_of_the_attack(network):
    levels = np.random.default_rng(3).permutation(np.geomspace(0.08, 1.0, 16))
    pitches = [60, 64, 67, 72] * 4
    tune = [(0.4 + 0.5 * i, 0.75 + 0.5 * i, p, v) for i, (p, v) in enumerate(zip(pitches, levels, strict=True))]
    pairs = matched(tune, PolyphonicTranscriber(network, OTHER).transcribe(played(tune, 9.0), RATE_HZ))
    assert len(pairs) >= 13
    loudness, velocity = np.array([(np.log(true[3]), found.velocity) for true, found in pairs]).T
    assert np.corrcoef(loudness, velocity)[0, 1] > 0.8


def test_what_is_mostly_highest_is_the_tune():
    start_s = np.tile(np.arange(40) * 0.5, 2)
    pitches = np.repeat([60, 40], 40)
    pitches[39] = 35  # once the voices cross
    share = polyphonic.tune_share(start_s, start_s + 0.4, pitches)
    tune, under, crossing = share[:39], share[40:79], share[79]
    assert tune.min() > 0.99
    assert np.all(np.diff(under) >= -1e-9)
    assert under.max() < crossing + 1e-9 < 0.2  # it is still the same voice


def test_the_tune_is_played_harder_than_chords_of_the_same_strength(network):
    pairs = matched(CHORDS, PolyphonicTranscriber(network, PIANO).transcribe(played(CHORDS, 6.0), RATE_HZ))
    high, low = ([f.velocity for t, f in pairs if (t[2] >= 60) is is_high] for is_high in (True, False))
    assert np.mean(high) > np.mean(low)


def test_highest_is_what_nothing_sounds_above():
    start_s = np.array([0.0, 0.5, 0.97, 1.0, 1.5, 2.5, 2.6])
    end_s = np.array([1.2, 0.9, 2.0, 2.0, 2.0, 2.51, 3.0])
    pitches = np.array([60, 55, 50, 64, 62, 40, 30])
    # alone; under the first; before the next by less than 50 ms; over all; under it; short and alone; after it
    expected = [True, False, False, True, False, True, True]
    assert polyphonic.highest(start_s, end_s, pitches).tolist() == expected


def test_a_note_struck_again_ends_the_one_before(network):
    repeated = [(0.5 + 0.3 * i, 0.78 + 0.3 * i, 64, 1.0) for i in range(8)]
    notes = PolyphonicTranscriber(network, GUITAR).transcribe(played(repeated, 4.0), RATE_HZ)
    same = [note for note in notes if note.pitch == 64]
    assert len(matched(repeated, notes)) >= 7
    assert all(first.end_s <= second.start_s + 0.012 for first, second in pairwise(same))


def test_the_same_at_another_rate_and_twice(network):
    audio = played(CHORDS[:6], 2.5)
    transcriber = PolyphonicTranscriber(network, PIANO)
    once = transcriber.transcribe(audio, RATE_HZ)
    assert once == transcriber.transcribe(audio, RATE_HZ)
    fewer = transcriber.transcribe(audio[::2].copy(), RATE_HZ // 2)
    assert {note.pitch for note in matched_notes(CHORDS[:6], fewer)} == {note[2] for note in CHORDS[:6]}


def matched_notes(true: list[tuple[float, float, int, float]], found: list[Note]) -> list[Note]:
    return [note for _, note in matched(true, found)]


@pytest.mark.parametrize("n_samples", [0, 1, 300, 20_000])
def test_silence_of_any_length_has_no_notes(network, n_samples):
    assert PolyphonicTranscriber(network).transcribe(np.zeros(n_samples, dtype=np.float32), RATE_HZ) == []


def test_surer_means_fewer_and_a_bias_means_longer(network):
    audio = played(CHORDS, 6.0)
    audio += 0.002 * np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)
    halved = audio[::2].copy()
    evidence = gather(network.activations(halved, RATE_HZ // 2), band_levels(halved))
    loose, strict = (polyphonic.decode(evidence, DecodingSettings(least)) for least in (0.05, 0.9))
    assert len(loose) > len(strict) > 0
    assert {(note.start_s, note.pitch) for note in strict} <= {(note.start_s, note.pitch) for note in loose}
    longer = polyphonic.decode(evidence, DecodingSettings(0.9, held_bias=1.0))
    assert sum(note.end_s for note in longer) > sum(note.end_s for note in strict)


def test_notes_are_sorted_and_end_after_they_start_within_the_audio(network, polyphony):
    notes = PolyphonicTranscriber(network, DecodingSettings(0.1)).transcribe(polyphony, 22_050)
    assert [(n.start_s, n.pitch) for n in notes] == sorted((n.start_s, n.pitch) for n in notes)
    assert all(0 <= n.start_s < n.end_s < len(polyphony) / 22_050 + 0.1 for n in notes)
    for pitch in {n.pitch for n in notes}:
        starts = [n.start_s for n in notes if n.pitch == pitch]
        assert all(gap >= polyphonic.SAME_NOTE_S for gap in np.diff(starts))


def test_progress_rises_to_one(network):
    told: list[float] = []
    PolyphonicTranscriber(network).transcribe(played(CHORDS[:3], 2.0), RATE_HZ, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_activations_come_to_lie_on_even_frames(network):
    times_s = np.arange(2000) * HOP_SAMPLES / 22_050
    heard = network.activations(np.zeros(2000 * HOP_SAMPLES, dtype=np.float32), 22_050)
    numbered = np.repeat(np.arange(len(heard.notes), dtype=np.float32)[:, None], 88, axis=1)
    frames = on_grid(numbered, 2000)[:, 0].astype(np.int64)
    assert np.abs(frame_times_s(frames) - times_s).max() <= 0.5 * HOP_SAMPLES / 22_050 + 1e-9


def test_a_stem_shorter_than_what_is_looked_at_around_a_note():
    zeros = np.zeros((3, 88), np.float32)
    onsets = zeros.copy()
    onsets[1, 40] = 0.9
    evidence = gather(Activations(zeros, onsets), np.full((3, 104), -40.0, np.float32))
    assert all(note.pitch == 61 for note in polyphonic.decode(evidence, DecodingSettings(0.0)))
