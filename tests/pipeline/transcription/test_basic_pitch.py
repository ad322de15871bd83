import os
import subprocess
import sys

import numpy as np
import pytest

from bench.bench_note_decoding import tone
from pipeline.transcription import sessions
from pipeline.transcription.basic_pitch import (
    HOP_SAMPLES,
    RATE_HZ,
    BasicPitchNetwork,
    BasicPitchTranscriber,
    frame_times_s,
)


@pytest.fixture(scope="module")
def network(network_path) -> BasicPitchNetwork:
    return BasicPitchNetwork(network_path)


def test_the_activations_are_those_of_the_reference(reference, network_path, network, polyphony):
    inference = reference.inference
    model = inference.Model(network_path)
    padded = np.concatenate([np.zeros(30 * 256 // 2, dtype=np.float32), polyphony])
    windows = [window[np.newaxis] for window, _ in inference.window_audio_file(padded, HOP_SAMPLES)]
    outputs = [model.predict(window) for window in windows]
    heard = network.activations(polyphony, RATE_HZ)
    for kind, ours in (("note", heard.notes), ("onset", heard.onsets)):
        theirs = inference.unwrap_output(np.concatenate([output[kind] for output in outputs]), len(polyphony), 30)
        assert len(theirs) == 40 * 86
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_samples", [0, 1, 256, 257, HOP_SAMPLES, HOP_SAMPLES + 1, 9 * HOP_SAMPLES - 1])
def test_every_frame_that_starts_inside_the_audio_is_there(network, n_samples):
    heard = network.activations(np.zeros(n_samples, dtype=np.float32), RATE_HZ)
    n_frames = len(heard.notes)
    assert heard.notes.shape == heard.onsets.shape == (n_frames, 88)
    starts = frame_times_s(np.arange(n_frames + 1)) * RATE_HZ
    assert np.all(starts[:n_frames] < n_samples)
    assert starts[n_frames] >= n_samples


def test_the_number_of_threads_changes_nothing(network, polyphony, monkeypatch):
    many = network.activations(polyphony, RATE_HZ)
    monkeypatch.setattr(sessions, "usable_cpus", lambda: 1)
    one = network.activations(polyphony, RATE_HZ)
    np.testing.assert_array_equal(many.notes, one.notes)
    np.testing.assert_array_equal(many.onsets, one.onsets)


def test_a_process_kept_to_one_processor_uses_one():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}) "
        "if hasattr(os, 'sched_setaffinity') else None; "
        "from pipeline.transcription.sessions import usable_cpus; print(usable_cpus())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == (1 if hasattr(os, "sched_setaffinity") else os.cpu_count())


def test_frame_times_follow_the_windows_and_stay_with_the_reference(reference):
    frames = np.arange(20 * 60 * 87)
    times = frame_times_s(frames)
    assert np.all(np.diff(times) > 0)
    assert times[142] == pytest.approx(HOP_SAMPLES / RATE_HZ)
    theirs = reference.note_creation.model_frames_to_time(len(frames))
    assert np.abs(times - theirs).max() < 0.0115


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 16_000])
def test_played_notes_are_written_down_to_the_very_end(network, rate_hz):
    duration_s = 90
    played = [(0.5, 60), (30.0, 67), (31.5, 48), (60.25, 72), (89.3, 64)]
    audio = np.zeros(duration_s * rate_hz, dtype=np.float32)
    for start_s, pitch in played:
        sound = 0.2 * tone(pitch, 0.6, rate_hz=rate_hz)
        start = round(start_s * rate_hz)
        audio[start : start + len(sound)] += sound
    notes = BasicPitchTranscriber(network).transcribe(audio, rate_hz)
    found = [(note.start_s, note.pitch) for note in notes if note.velocity > 0.4]
    assert [pitch for _, pitch in found] == [pitch for _, pitch in played]
    for (heard_s, _), (start_s, _) in zip(found, played, strict=True):
        assert heard_s == pytest.approx(start_s, abs=0.03)
    assert all(0 < note.velocity <= 1 and note.end_s > note.start_s for note in notes)
