from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.transcription.basic_pitch import Activations, BasicPitchNetwork
from pipeline.transcription.note_decoding import (
    ENERGY_TOLERANCE_FRAMES,
    FRAME_THRESHOLD,
    MIN_NOTE_FRAMES,
    ONSET_THRESHOLD,
    decode_notes,
)

Matrix = NDArray[np.float32]


def decoded_by_reference(
    reference: SimpleNamespace,
    frames: Matrix,
    onsets: Matrix,
    onset_threshold: float,
    frame_threshold: float,
    min_n: int,
) -> list[tuple[int, int, int, float]]:
    with np.errstate(invalid="ignore"):  # it divides 0 by 0 when there are fewer than three frames
        notes = reference.note_creation.output_to_notes_polyphonic(
            frames.copy(),
            onsets.copy(),
            onset_thresh=onset_threshold,
            frame_thresh=frame_threshold,
            min_note_len=min_n,
            infer_onsets=True,
            max_freq=None,
            min_freq=None,
            melodia_trick=True,
            energy_tol=ENERGY_TOLERANCE_FRAMES,
        )
    return sorted((int(start), int(end), int(pitch), float(amplitude)) for start, end, pitch, amplitude in notes)


def assert_same_notes(ours: list, theirs: list) -> None:
    assert [note[:3] for note in ours] == [note[:3] for note in theirs]
    np.testing.assert_allclose([note[3] for note in ours], [note[3] for note in theirs], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def heard(network_path, polyphony) -> Activations:
    return BasicPitchNetwork(network_path).activations(polyphony, 22_050)


@pytest.mark.parametrize(
    ("onset_threshold", "frame_threshold", "min_note_frames"),
    [(ONSET_THRESHOLD, FRAME_THRESHOLD, MIN_NOTE_FRAMES), (0.3, 0.15, 4), (0.7, 0.5, 20), (2.0, 0.2, 5)],
)
def test_real_network_output_decodes_as_by_the_reference(
    reference, heard, onset_threshold, frame_threshold, min_note_frames
):
    ours = decode_notes(heard.notes, heard.onsets, onset_threshold, frame_threshold, min_note_frames)
    theirs = decoded_by_reference(
        reference, heard.notes, heard.onsets, onset_threshold, frame_threshold, min_note_frames
    )
    assert len(theirs) > 60
    assert_same_notes(ours, theirs)


def random_activations(seed: int, n_frames: int, levels: int, blocks: int, noise: float) -> tuple[Matrix, Matrix]:
    """Notes as blocks, some crowded at the edges of time and pitch; few levels, so that ties and plateaus abound."""
    rng = np.random.default_rng(seed)
    frames = rng.random((n_frames, 88)) * noise
    onsets = rng.random((n_frames, 88)) * noise
    columns = rng.choice([0, 1, 2, 40, 41, 42, 43, 86, 87], size=blocks)
    for column in columns:
        start = int(rng.integers(-3, n_frames))
        stop = start + int(rng.integers(1, 45))
        frames[max(0, start) : stop, column] = rng.random()
        onsets[max(0, start), column] = rng.random()
    quantised = [np.round(matrix * levels) / levels for matrix in (frames, onsets)]
    return quantised[0].astype(np.float32), quantised[1].astype(np.float32)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_frames=st.integers(1, 90),
    levels=st.sampled_from([4, 10, 1000]),
    blocks=st.integers(0, 25),
    noise=st.sampled_from([0.0, 0.4, 1.0]),
    thresholds=st.tuples(st.sampled_from([0.25, 0.5, 0.7]), st.sampled_from([0.1, 0.3, 0.5, 0.7])),
    min_note_frames=st.sampled_from([0, 1, 5, 11]),
)
def test_any_activations_decode_as_by_the_reference(
    reference, seed, n_frames, levels, blocks, noise, thresholds, min_note_frames
):
    frames, onsets = random_activations(seed, n_frames, levels, blocks, noise)
    something_rises = np.any(frames[2:] > np.maximum(frames[1:-1], frames[:-2]))
    assume(n_frames < 3 or something_rises)
    ours = decode_notes(frames, onsets, *thresholds, min_note_frames)
    assert_same_notes(ours, decoded_by_reference(reference, frames, onsets, *thresholds, min_note_frames))


def test_an_onset_counts_even_when_no_activation_ever_rises():
    frames = np.full((60, 88), 0.0, dtype=np.float32)
    frames[:, 40] = 0.8
    onsets = np.zeros_like(frames)
    onsets[20, 40] = 0.9
    (first, second) = decode_notes(frames, onsets)
    assert (first.start, second.start) == (0, 20)  # the frames before the onset are a note of the second pass
    assert second.pitch == 61
    assert second.amplitude == pytest.approx(0.8)


def test_the_activations_are_left_as_they_were(heard):
    before = heard.notes.copy(), heard.onsets.copy()
    decode_notes(heard.notes, heard.onsets)
    np.testing.assert_array_equal(heard.notes, before[0])
    np.testing.assert_array_equal(heard.onsets, before[1])


@pytest.mark.parametrize("n_frames", [0, 1, 2, 50])
def test_nothing_sounding_gives_no_notes(n_frames):
    nothing = np.zeros((n_frames, 88), dtype=np.float32)
    assert decode_notes(nothing, nothing) == []
