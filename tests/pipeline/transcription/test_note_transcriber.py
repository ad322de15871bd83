"""The note network that comes with the package, on tones whose notes are known."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.errors import Cancelled
from pipeline.instrument_families import FAMILIES
from pipeline.notes import BENDS_PER_S, Note
from pipeline.progress import OnProgress
from pipeline.transcription import note_transcriber
from pipeline.transcription.note_listening import INSIDE_FRAMES, WEIGHTS_PATH, NoteListener
from pipeline.transcription.note_network import FRAME_S, FRAME_SAMPLES
from pipeline.transcription.note_reading import ReadingSettings, read_notes
from pipeline.transcription.note_transcriber import NoteTranscriber

RATE_HZ = 22_050
CHORDS = [(0.5, (48, 55, 64)), (1.5, (53, 57, 60)), (2.5, (55, 59, 67))]
FloatArray = NDArray[np.float32]


@pytest.fixture(scope="module")
def listener() -> NoteListener:
    return NoteListener()


@pytest.fixture(scope="module")
def transcriber(listener: NoteListener) -> NoteTranscriber:
    return NoteTranscriber(listener)


def struck(pitch: int, rate_hz: int) -> FloatArray:
    """Eight partials that decay, the high ones sooner."""
    time_s = np.arange(round(1.0 * rate_hz)) / rate_hz
    hz = 440 * 2 ** ((pitch - 69) / 12)
    string = sum(
        n**-1.3 * np.sin(2 * np.pi * n * hz * time_s + n) * np.exp(-time_s * (0.7 + 0.4 * n)) for n in range(1, 9)
    )
    damped = np.exp(-np.maximum(time_s - 0.8, 0) / 0.02)
    return (np.minimum(time_s / 0.003, 1) * damped * string).astype(np.float32)


def played(chords: Sequence[tuple[float, tuple[int, ...]]], duration_s: float, rate_hz: int = RATE_HZ) -> FloatArray:
    """Chords of strings that are struck and damped after 0.8 s."""
    audio = np.zeros(round(duration_s * rate_hz), dtype=np.float32)
    for start_s, pitches in chords:
        for pitch in pitches:
            sound = 0.15 * struck(pitch, rate_hz)
            at = round(start_s * rate_hz)
            audio[at : at + len(sound)] += sound[: len(audio) - at]
    return audio


def onsets(notes: Sequence[Note]) -> list[tuple[float, int]]:
    return sorted((round(note.start_s, 1), note.pitch) for note in notes)


def sure(notes: Sequence[Note]) -> list[Note]:
    return [note for note in notes if note.confidence > 0.6]


def heard_well(notes: Sequence[Note], chords: Sequence[tuple[float, tuple[int, ...]]] = CHORDS) -> bool:
    """Whether the notes of chords are all there, and little else."""
    expected = {(round(start_s, 1), pitch) for start_s, pitches in chords for pitch in pitches}
    found = onsets(sure(notes))
    return expected <= set(found) and len(found) <= len(expected) * 4 / 3


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100])
def test_chords_are_found_with_their_ends_at_any_rate(transcriber: NoteTranscriber, rate_hz: int) -> None:
    notes = transcriber.transcribe(played(CHORDS, 3.5, rate_hz), rate_hz)
    assert heard_well(notes)
    assert median(abs(note.start_s - round(note.start_s, 1)) for note in sure(notes)) < 0.02
    assert median(note.end_s - note.start_s for note in sure(notes)) == pytest.approx(0.78, abs=0.08)
    assert [(n.start_s, n.pitch) for n in notes] == sorted((n.start_s, n.pitch) for n in notes)
    assert all(0 < note.velocity <= 1 and 0 < note.confidence <= 1 for note in notes)


def test_a_tone_that_is_sharp_is_bent_by_as_much(transcriber: NoteTranscriber) -> None:
    audio = played([(0.5, (60,))], 2.0)
    sharp = np.interp(np.arange(0, len(audio) - 1, 2 ** (1 / 36)), np.arange(len(audio)), audio).astype(np.float32)
    for samples, bend in [(audio, 0), (sharp, 1)]:
        note = max(transcriber.transcribe(samples, RATE_HZ), key=lambda note: note.confidence)
        assert note.pitch == 60
        assert len(note.bends) == round((note.end_s - note.start_s) * BENDS_PER_S)
        assert set(note.bends) == {bend}


@pytest.mark.parametrize("pitch", [33, 45, 57, 69, 81])
def test_bends_follow_vibrato(listener: NoteListener, pitch: int) -> None:
    """Two and a half thirds of a semitone to both sides, twice a second."""
    times_s = np.arange(2 * RATE_HZ) / RATE_HZ
    swing = 0.83 * np.sin(2 * np.pi * 2 * times_s)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((pitch + swing - 69) / 12)) / RATE_HZ
    evidence = listener.hear((0.1 * sum(np.sin(k * phase) / k for k in range(1, 7))).astype(np.float32))
    evidence.onset[:], evidence.sounding[:] = -2.0, -9.0
    evidence.onset[1, pitch - 21] = evidence.sounding[1:160, pitch - 21] = 9.0  # whatever the network thinks of it
    (read,) = read_notes(evidence)
    at_s = np.linspace(read.note.start_s, read.note.end_s, len(read.note.bends))
    misses = np.abs(np.array(read.note.bends) / 3 - np.interp(at_s, times_s, swing))[(at_s > 0.2) & (at_s < 1.8)]
    assert np.median(misses) < 0.25
    assert np.percentile(misses, 95) < 0.6


def test_every_note_has_a_family(transcriber: NoteTranscriber) -> None:
    read = transcriber.read(played(CHORDS, 3.5), RATE_HZ)
    for one in read:
        assert len(one.family) == len(FAMILIES)
        assert np.exp(one.family).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("n_samples", [0, 1, 100, 511, 30_000])
def test_silence_of_any_length_gives_nothing(transcriber: NoteTranscriber, n_samples: int) -> None:
    assert transcriber.transcribe(np.zeros(n_samples, np.float32), RATE_HZ) == []


def test_notes_end_with_the_audio(transcriber: NoteTranscriber) -> None:
    audio = played(CHORDS, 2.9)
    notes = transcriber.transcribe(audio, RATE_HZ)
    assert heard_well(notes)
    assert max(note.end_s for note in notes) <= len(audio) / RATE_HZ


def test_the_same_again_and_from_any_thread(listener: NoteListener, transcriber: NoteTranscriber) -> None:
    audio = played(CHORDS, 3.5)
    expected = transcriber.read(audio, RATE_HZ)
    assert NoteTranscriber(NoteListener()).read(audio, RATE_HZ) == expected
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: transcriber.read(audio, RATE_HZ), range(3)))
    assert found == [expected] * 3


def test_a_note_over_the_border_of_windows_is_one_note(transcriber: NoteTranscriber) -> None:
    border_s = INSIDE_FRAMES * FRAME_S
    chords = [(border_s - 1.75, (60, 64)), (border_s - 0.4, (48, 55)), (border_s + 0.75, (62, 65))]
    audio = played(chords, border_s + 2)
    notes = transcriber.transcribe(audio, RATE_HZ)
    assert heard_well(notes, chords)
    assert all(0.6 < note.end_s - note.start_s < 0.9 for note in sure(notes))


def test_what_is_heard_does_not_depend_on_where_windows_begin(listener: NoteListener) -> None:
    audio = np.pad(played(CHORDS, 3.5), (INSIDE_FRAMES * FRAME_SAMPLES - 2 * RATE_HZ, 0))
    whole = listener.hear(audio, gain=1.0)
    part = listener.hear(audio, frames=range(570, 720), gain=1.0)
    for name, per_frame in [("onset", 2), ("sounding", 2), ("velocity", 1), ("family", 1), ("contour", 1)]:
        expected = getattr(whole, name)[570 * per_frame : 720 * per_frame].astype(np.float64)
        np.testing.assert_allclose(getattr(part, name).astype(np.float64), expected, atol=0.02)


def test_spans_of_a_long_stem_give_the_same_notes(listener: NoteListener, monkeypatch) -> None:
    chords = [(at_s, (50 + index % 12, 57 + index % 7)) for index, at_s in enumerate(np.arange(0.3, 33, 0.9).tolist())]
    audio = played(chords, 34.0)
    assert len(audio) / FRAME_SAMPLES > 2 * INSIDE_FRAMES
    transcriber = NoteTranscriber(listener, ReadingSettings(longest_s=5.0))
    expected = transcriber.read(audio, RATE_HZ)
    monkeypatch.setattr(note_transcriber, "SPAN_WINDOWS", 1)
    assert transcriber.read(audio, RATE_HZ) == expected


def test_pauses_are_not_computed(transcriber: NoteTranscriber, listener: NoteListener, monkeypatch) -> None:
    windows = []
    run = listener._run
    monkeypatch.setattr(listener, "_run", lambda samples, told: windows.append(len(samples)) or run(samples, told))
    pause_s = 8 * INSIDE_FRAMES * FRAME_S
    audio = np.concatenate([played(CHORDS, pause_s), played(CHORDS, 3.5)])
    found = transcriber.transcribe(audio, RATE_HZ)
    assert heard_well([note for note in found if note.start_s < 5.0])
    assert not [note for note in found if 5.0 < note.start_s < pause_s - 1]
    assert len(windows) < 5


def test_windows_that_do_not_fit_the_device_are_run_in_smaller_batches(
    transcriber: NoteTranscriber, listener: NoteListener, monkeypatch
) -> None:
    audio = played([(at_s, (60, 64)) for at_s in range(40)], 41.0)
    expected = onsets(sure(transcriber.transcribe(audio, RATE_HZ)))
    batches = []
    run = listener._run

    def cramped(windows: FloatArray, on_progress: OnProgress) -> object:
        batches.append(len(windows))
        if len(windows) > 1:
            raise torch.OutOfMemoryError("full")
        return run(windows, on_progress)

    monkeypatch.setattr(listener, "_run", cramped)
    monkeypatch.setattr(listener, "_batch", 4)
    told: list[float] = []
    assert onsets(sure(transcriber.transcribe(audio, RATE_HZ, told.append))) == expected
    assert batches == [2, 1, 1, 1]
    assert told == sorted(told)


def test_progress_rises_to_one_and_stops_the_work(transcriber: NoteTranscriber) -> None:
    told: list[float] = []
    audio = played([(float(at_s), (60, 64)) for at_s in range(0, 40, 4)], 40.0)
    transcriber.transcribe(audio, RATE_HZ, told.append)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(set(told)) >= 10

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        transcriber.transcribe(audio, RATE_HZ, stop)


def test_the_level_does_not_matter(transcriber: NoteTranscriber) -> None:
    audio = played(CHORDS, 3.5)
    assert heard_well(transcriber.transcribe(0.03 * audio, RATE_HZ))


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(WEIGHTS_PATH)
    del weights["heads.bias"]
    save_file(weights, tmp_path / "other.safetensors", {"width": "48"})
    with pytest.raises(ValueError, match=r"not weights of a note network of Size\("):
        NoteListener(tmp_path / "other.safetensors")
