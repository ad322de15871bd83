"""How pitches move inside notes: on sounds whose pitch is known at every moment, and against Basic Pitch itself."""

from collections.abc import Callable
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.bench_note_decoding import tone
from pipeline.notes import BENDS_PER_S, Note
from pipeline.transcription.basic_pitch import HOP_SAMPLES, RATE_HZ, BasicPitchNetwork, BasicPitchTranscriber
from pipeline.transcription.bass import BassTranscriber
from pipeline.transcription.bends import bends
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.vocals import VocalsTranscriber

VOICE_HZ = 16_000
Pitch = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@pytest.fixture(scope="module")
def network(network_path: Path) -> BasicPitchNetwork:
    return BasicPitchNetwork(network_path)


@pytest.fixture(scope="module")
def pitch_network() -> PitchNetwork:
    return PitchNetwork(Path(str(distribution("swift-f0").locate_file("swift_f0/model.onnx"))))


@pytest.fixture(scope="module")
def vocals(network: BasicPitchNetwork, pitch_network: PitchNetwork) -> VocalsTranscriber:
    return VocalsTranscriber(pitch_network, network, BasicPitchTranscriber(network))


@pytest.fixture(scope="module")
def bass(network: BasicPitchNetwork, pitch_network: PitchNetwork) -> BassTranscriber:
    return BassTranscriber(pitch_network, BasicPitchTranscriber(network))


def sung(pitch: Pitch, duration_s: float = 1.6) -> NDArray[np.float32]:
    """An "ah" after half a second; ``pitch`` gives MIDI numbers for seconds since its start."""
    times_s = np.arange(round(duration_s * VOICE_HZ)) / VOICE_HZ
    hz = 440 * 2 ** ((pitch(times_s) - 69) / 12)
    phase = 2 * np.pi * np.cumsum(hz) / VOICE_HZ
    voice = np.zeros(len(times_s))
    for harmonic in range(1, 20):
        gain = sum(np.exp(-(((harmonic * hz - formant) / 150.0) ** 2)) for formant in (700, 1150, 2600))
        voice += (gain + 0.15 / harmonic) * np.sin(harmonic * phase) * (harmonic * hz < 7000)
    edges = np.clip(np.minimum(times_s, duration_s - times_s) / 0.04, 0, 1)
    out = np.pad(0.2 * voice * edges, VOICE_HZ // 2)
    return (out + 1e-4 * np.random.default_rng(1).standard_normal(len(out))).astype(np.float32)


def longest(notes: list[Note]) -> Note:
    return max(notes, key=lambda note: note.end_s - note.start_s)


def test_a_steady_voice_has_no_bends(vocals: VocalsTranscriber) -> None:
    note = longest(vocals.transcribe(sung(lambda times_s: np.full(len(times_s), 57.0)), VOICE_HZ))
    assert note.pitch == 57
    assert len(note.bends) == round((note.end_s - note.start_s) * BENDS_PER_S)
    assert set(note.bends) == {0}


def test_a_voice_that_slides_up_to_its_note_starts_below_it(vocals: VocalsTranscriber) -> None:
    glide = sung(lambda times_s: 60.0 - 1.2 * np.clip(1 - times_s / 0.3, 0, 1))
    note = longest(vocals.transcribe(glide, VOICE_HZ))
    assert note.pitch == 60
    rising = list(note.bends[: len(note.bends) // 4])
    assert rising[0] <= -2  # two thirds of a semitone
    assert rising == sorted(rising)
    assert set(note.bends[len(note.bends) // 4 :]) == {0}


def test_vibrato_is_as_wide_and_as_fast_as_it_was_sung(vocals: VocalsTranscriber) -> None:
    wave = sung(lambda times_s: 57.0 + 0.7 * np.sin(2 * np.pi * 5.0 * times_s))
    note = longest(vocals.transcribe(wave, VOICE_HZ))
    assert (min(note.bends), max(note.bends)) == (-2, 2)  # two thirds of a semitone to both sides
    turns = sum(first != second for first, second in pairwise(np.sign(bend) for bend in note.bends if bend))
    assert turns == pytest.approx(10 * (note.end_s - note.start_s), abs=1.5)  # twice a period


@pytest.mark.parametrize("pitch", [33, 45])  # below and above where the tracker listens an octave up
def test_a_bass_is_followed_up_and_down_the_string(bass: BassTranscriber, pitch: int) -> None:
    rate_hz = 44_100
    times_s = np.arange(round(1.5 * rate_hz)) / rate_hz

    def midi(at_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return pitch + 0.7 * np.sin(2 * np.pi * 2.0 * at_s) - 2.0 * (at_s > 0.75)

    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((midi(times_s) - 69) / 12)) / rate_hz
    string = sum(np.sin(k * phase) / k * np.exp(-times_s * (0.2 + 0.3 * k)) for k in range(1, 9))
    notes = bass.transcribe((0.3 * np.clip(times_s / 0.003, 0, 1) * string).astype(np.float32), rate_hz)
    heard = [
        (at_s, note.pitch + bend / 3)
        for note in notes
        for at_s, bend in zip(np.linspace(note.start_s, note.end_s, len(note.bends)), note.bends, strict=True)
    ]
    at_s, pitches = np.array(heard).T
    settled = (at_s > 0.05) & (np.abs(at_s - 0.75) > 0.08) & (at_s < 1.45)
    misses = np.abs(pitches - midi(at_s))[settled]
    assert len(misses) > 80
    assert np.median(misses) < 0.2
    assert np.percentile(misses, 95) < 0.5


def test_bends_are_those_of_basic_pitch(reference, network_path: Path, network: BasicPitchNetwork, polyphony) -> None:
    inference = reference.inference
    model = inference.Model(network_path)
    padded = np.concatenate([np.zeros(30 * 256 // 2, dtype=np.float32), polyphony])
    windows = [window[np.newaxis] for window, _ in inference.window_audio_file(padded, HOP_SAMPLES)]
    outputs = np.concatenate([model.predict(window)["contour"] for window in windows])
    contours = inference.unwrap_output(outputs, len(polyphony), 30)
    contours = np.pad(contours[:, 1:], ((0, 0), (0, 1)))  # its bends of a tone that is in tune are 1, not 0
    heard = network.activations(polyphony, RATE_HZ)
    assert heard.bends is not None
    notes = [(start, start + 40, pitch, 0.5) for pitch in range(30, 99) for start in range(0, 3400, 200)]
    theirs = [bend for *_, of_note in reference.note_creation.get_pitch_bends(contours, notes) for bend in of_note]
    ours = [bend for start, end, pitch, _ in notes for bend in heard.bends[start:end, pitch - 21].tolist()]
    assert len(set(theirs)) > 10
    assert np.mean(np.array(ours) == np.array(theirs)) > 0.9995  # but for bins that tie to seven digits


def test_a_string_is_bent_by_as_much_as_it_is_sharp(network: BasicPitchNetwork) -> None:
    samples = np.pad(0.2 * tone(60, 1.0, rate_hz=RATE_HZ), RATE_HZ // 2).astype(np.float32)
    transcriber = BasicPitchTranscriber(network)
    note = longest(transcriber.transcribe(samples, RATE_HZ))
    assert note.pitch == 60
    assert len(note.bends) == pytest.approx((note.end_s - note.start_s) * BENDS_PER_S, abs=2)
    assert median(note.bends) == 0
    sharp = np.interp(np.arange(0, len(samples) - 1, 2 ** (1 / 36)), np.arange(len(samples)), samples)
    note = longest(transcriber.transcribe(sharp.astype(np.float32), RATE_HZ))
    assert (note.pitch, median(note.bends)) == (60, 1)


def test_what_is_out_of_reach_is_another_voice() -> None:
    times_s = np.arange(100) / 100
    midi = np.full(100, 60.2, dtype=np.float32)
    midi[40:60] = 72.0
    assert set(bends(times_s, midi, 0.0, 1.0, 60, reach=8.5)) == {1}
    assert bends(times_s, midi, 0.4, 0.6, 60, reach=8.5) == ()
    assert bends(times_s, midi, 5.0, 6.0, 60, reach=8.5) == ()


def test_the_shortest_note_has_one() -> None:
    times_s = np.array([0.0, 0.001, 0.002])
    assert bends(times_s, np.full(3, 59.0, dtype=np.float32), 0.0, 0.002, 60, reach=8.5) == (-3,)
