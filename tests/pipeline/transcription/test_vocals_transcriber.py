from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.notes import Note
from pipeline.transcription.basic_pitch import BasicPitchNetwork
from pipeline.transcription.note_listening import NoteListener
from pipeline.transcription.note_segmentation import Opinion, Segment, opinion, segments, tuning
from pipeline.transcription.note_transcriber import NoteTranscriber
from pipeline.transcription.pitch_track import PitchNetwork, PitchTrack
from pipeline.transcription.singing_features import N_FEATURES, Voice, without_octave_errors
from pipeline.transcription.vocals import VocalsTranscriber

RATE_HZ = 16_000
MELODY = (  # start and end in seconds, pitch
    (0.5, 1.1, 57),
    (1.1, 1.6, 59),
    (1.75, 2.4, 60),
    (2.5, 2.9, 60),
    (3.0, 4.4, 64),
    (4.9, 5.2, 62),
    (5.2, 5.6, 59),
    (5.7, 6.9, 57),
)


def sung(melody=MELODY, vibrato=0.35, offset=0.0) -> NDArray[np.float32]:
    """An "ah" by source and formants: vibrato in long notes, a glide into joined ones, noise before detached ones."""
    times = np.arange(round((melody[-1][1] + 0.6) * RATE_HZ)) / RATE_HZ
    pitch, level = np.full(len(times), float(melody[0][2])), np.zeros(len(times))
    for start_s, end_s, midi in melody:
        pitch[times >= start_s] = midi
        level[(times >= start_s) & (times < end_s)] = 1.0
    smooth = np.hanning(round(0.06 * RATE_HZ))
    pitch = np.convolve(np.pad(pitch, 500, mode="edge"), smooth / smooth.sum(), "same")[500:-500] + offset
    for start_s, end_s, _ in melody:
        within = (times >= start_s + 0.2) & (times < end_s)
        if end_s - start_s > 0.5:
            pitch[within] += vibrato * np.sin(2 * np.pi * 5.5 * (times[within] - start_s - 0.2))
    level = np.convolve(level, np.hanning(400) / np.hanning(400).sum(), "same")
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / RATE_HZ
    voice = np.zeros(len(times))
    for harmonic in range(1, 20):
        hz = harmonic * 440 * 2 ** ((pitch - 69) / 12)
        gain = sum(np.exp(-(((hz - formant) / 150.0) ** 2)) for formant in (700, 1150, 2600)) + 0.15 / harmonic
        voice += gain * np.sin(harmonic * phase) * (hz < 7000)
    noise = np.zeros(len(times))
    for (_, end_s, _), (start_s, _, _) in pairwise(melody):
        if start_s > end_s:
            noise[(times >= start_s - 0.07) & (times < start_s - 0.01)] = 0.1
    hiss = np.diff(np.random.default_rng(1).normal(size=len(times)), prepend=0.0)
    return (0.2 * voice * level + 0.2 * noise * hiss + 1e-4 * hiss).astype(np.float32)


def scored(notes: list[Note], melody=MELODY) -> tuple[float, float]:
    """F of onsets with pitches; of these with offsets too."""
    truth = np.array([(start, end) for start, end, _ in melody])
    found = np.array([(note.start_s, note.end_s) for note in notes])
    hz = [
        440 * 2 ** ((np.array(pitches) - 69.0) / 12) for pitches in ([m[2] for m in melody], [n.pitch for n in notes])
    ]
    f = mir_eval.transcription.precision_recall_f1_overlap
    return f(truth, hz[0], found, hz[1], offset_ratio=None)[2], f(truth, hz[0], found, hz[1])[2]


@pytest.fixture(scope="module")
def transcriber(network_path) -> VocalsTranscriber:
    network = BasicPitchNetwork(network_path)
    pitch = PitchNetwork(Path(str(distribution("swift-f0").locate_file("swift_f0/model.onnx"))))
    return VocalsTranscriber(pitch, network, NoteTranscriber(NoteListener()))


def test_a_sung_melody_is_written_down(transcriber):
    notes = transcriber.transcribe(sung(), RATE_HZ)
    onset_f, both_f = scored(notes)
    assert onset_f >= 0.85
    assert both_f >= 0.75
    assert all(later.start_s >= note.end_s for note, later in pairwise(notes))
    assert all(0.0 <= note.confidence <= 1.0 and 0.0 < note.velocity <= 1.0 for note in notes)


def test_level_and_rate_do_not_matter(transcriber):
    loud = sung()
    assert [note.pitch for note in transcriber.transcribe(0.1 * loud, RATE_HZ)] == [
        note.pitch for note in transcriber.transcribe(loud, RATE_HZ)
    ]
    at_48k = np.interp(np.arange(3 * len(loud)) / 3, np.arange(len(loud)), loud).astype(np.float32)
    assert scored(transcriber.transcribe(at_48k, 48_000))[0] >= 0.85


def test_a_wide_vibrato_is_one_note(transcriber):
    held = ((0.5, 3.0, 62),)
    notes = transcriber.transcribe(sung(held, vibrato=0.9), RATE_HZ)
    assert [note.pitch for note in notes] == [62]


def test_a_voice_out_of_tune_is_written_in_its_own_tuning(transcriber):
    melody = tuple(
        (0.5 * i + 0.5, 0.5 * i + 0.9, 57 + step) for i, step in enumerate((0, 2, 4, 5, 7, 5, 4, 2, 0, 4, 7, 0))
    )
    notes = transcriber.transcribe(sung(melody, offset=0.45), RATE_HZ)
    assert scored(notes, melody)[0] >= 0.8


def test_silence_and_nothing_give_no_notes(transcriber):
    assert transcriber.transcribe(np.zeros(0, dtype=np.float32), RATE_HZ) == []
    assert transcriber.transcribe(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ) == []
    assert transcriber.transcribe(np.zeros(10, dtype=np.float32), RATE_HZ) == []


def test_the_same_samples_give_the_same_notes(transcriber):
    assert transcriber.transcribe(sung(), RATE_HZ) == transcriber.transcribe(sung(), RATE_HZ)


def test_three_voices_are_written_down_as_three(transcriber):
    parts = [tuple((start, end, pitch + step) for start, end, pitch in MELODY) for step in (-5, 0, 4)]
    chorus = sum(sung(melody, vibrato=0.1) for melody in parts)
    notes = transcriber.transcribe(chorus, RATE_HZ)
    assert any(later.start_s < note.end_s for note, later in pairwise(notes))
    assert notes == NoteTranscriber(NoteListener()).transcribe(chorus, RATE_HZ)


def test_a_second_voice_that_joins_in_for_a_while_is_written_down_too(transcriber):
    duet = sung() + sung(((3.0, 4.4, 60), (5.7, 6.9, 54)), vibrato=0.1)[: len(sung())]
    found = [note.pitch for note in transcriber.transcribe(duet, RATE_HZ)]
    assert {54, 57, 59, 60, 64} <= set(found)


def test_louder_notes_have_higher_velocities(transcriber):
    melody = ((0.5, 1.2, 60), (1.5, 2.2, 62), (2.5, 3.2, 64))
    samples = sung(melody)
    samples[round(1.35 * RATE_HZ) : round(2.35 * RATE_HZ)] *= 0.3
    soft = {note.pitch: note.velocity for note in transcriber.transcribe(samples, RATE_HZ)}
    assert soft[62] < 0.8 * soft[60]


def test_progress_is_told_and_ends_at_one(transcriber):
    told: list[float] = []
    transcriber.transcribe(sung(), RATE_HZ, told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    assert len({fraction for fraction in told if 0.9 < fraction < 1.0}) >= 6  # after Basic Pitch: listening, layers


def heard(n_frames: int, onsets: dict[int, float], sounding: list[tuple[int, int]]) -> Opinion:
    onset, active = np.full(n_frames, 0.001, dtype=np.float32), np.full(n_frames, 0.02, dtype=np.float32)
    for frame, probability in onsets.items():
        onset[frame] = probability
    for start, end in sounding:
        active[start:end] = 0.98
    return Opinion(onset, active)


def voice(midi: NDArray[np.float64], confidence: NDArray[np.float64] | None = None) -> Voice:
    sure = np.ones(len(midi)) if confidence is None else confidence
    nothing = np.zeros((len(midi), N_FEATURES), dtype=np.float32)
    return Voice(nothing, midi.astype(np.float32), sure.astype(np.float32), nothing[:, 0])


def test_a_doubtful_onset_counts_where_the_pitch_changes():
    onsets = {10: 0.9, 50: 0.3}
    steady, step = np.full(120, 60.0), np.where(np.arange(120) < 50, 60.0, 64.0)
    opinions = heard(120, onsets, [(10, 100)])
    assert [(s.start, s.end) for s in segments(voice(steady), opinions)] == [(10, 100)]
    found = segments(voice(step), opinions)
    assert [(s.start, s.end, round(s.midi)) for s in found] == [(10, 50, 60), (50, 100, 64)]


def test_a_sure_onset_parts_equal_pitches():
    found = segments(voice(np.full(120, 60.0)), heard(120, {10: 0.9, 50: 0.9}, [(10, 100)]))
    assert [s.start for s in found] == [10, 50]


def test_notes_are_at_least_70_ms_long():
    found = segments(voice(np.full(120, 60.0)), heard(120, {10: 0.9, 14: 0.9}, [(10, 100)]))
    assert len(found) == 1


def test_no_voice_gives_no_segments():
    assert segments(voice(np.full(50, 60.0), np.zeros(50)), heard(50, {}, [])) == []


def test_a_clear_tuning_is_found_and_an_unclear_one_left_alone():
    rng = np.random.default_rng(2)
    steps = rng.integers(0, 12, 40)
    exact = [Segment(i, i + 40, 60 + step + 0.4 + rng.normal(0, 0.05), 1.0) for i, step in enumerate(steps)]
    assert tuning(exact) == pytest.approx(0.4, abs=0.05)
    assert tuning([Segment(i, i + 40, 60 + rng.uniform(0, 12), 1.0) for i in range(40)]) == 0.0
    assert tuning(exact[:5]) == 0.0


def test_short_leaps_of_an_octave_are_undone_and_long_ones_kept():
    times_s = np.arange(200) * 0.016
    midi = np.full(200, 60.0)
    midi[50:58] = 72.0
    midi[120:] = 72.0
    track = PitchTrack(times_s, midi.astype(np.float32), np.ones(200, dtype=np.float32))
    assert without_octave_errors(track)[:120].tolist() == [60.0] * 120
    assert without_octave_errors(track)[120:].tolist() == [72.0] * 80


def test_the_network_takes_any_length():
    for n_frames in (1, 2, 500):
        given = opinion(np.zeros((n_frames, N_FEATURES), dtype=np.float32))
        assert given.onset.shape == given.active.shape == (n_frames,)
        assert ((given.onset >= 0) & (given.onset <= 1)).all()
