"""Solos and songs told apart by the real separator, on sounds made up; a solo is then written down as it is."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile as sf
from numpy.typing import NDArray

from pipeline.models.store import ModelStore
from pipeline.recognition import BASS, DRUMS, OTHER, VOCALS
from pipeline.song import SongPipeline
from support.voices import singer

RATE_HZ = 44_100
DURATION_S = 5.5  # one segment
CHORDS = ((60, 64, 67), (57, 60, 64), (53, 57, 60), (55, 59, 62))


def voice() -> NDArray[np.float64]:
    """Vowels; made up consonants are a drum to a separator that knows real ones."""
    low = scipy.signal.butter(6, 4000, fs=RATE_HZ, output="sos")
    return np.asarray(scipy.signal.sosfilt(low, singer(DURATION_S, RATE_HZ)))


def string(pitch: int, duration_s: float, decay: float) -> NDArray[np.float64]:
    """Partials that decay, the high ones sooner."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    hz = 440 * 2 ** ((pitch - 69) / 12)
    partials = sum(np.sin(2 * np.pi * k * hz * time_s) / k * np.exp(-time_s * decay * (1 + k)) for k in range(1, 9))
    return partials * np.clip(np.minimum(time_s, duration_s - time_s) / 0.004, 0, 1)


def guitar() -> NDArray[np.float64]:
    """Chords, a string after the other."""
    out = np.zeros(round((DURATION_S + 2) * RATE_HZ))
    for index, chord in enumerate(CHORDS * 2):
        for place, pitch in enumerate(chord):
            first = round((0.2 + 0.65 * index + 0.03 * place) * RATE_HZ)
            out[first : first + RATE_HZ] += 0.1 * string(pitch, 1.0, 0.8)
    return out[: round(DURATION_S * RATE_HZ)]


def bass() -> NDArray[np.float64]:
    """A note to the beat."""
    out = np.zeros(round((DURATION_S + 2) * RATE_HZ))
    for index, pitch in enumerate((36, 36, 43, 36, 33, 33, 40, 33, 29, 36, 31, 38)):
        first = round((0.2 + 0.43 * index) * RATE_HZ)
        note = 0.3 * string(pitch, 0.41, 0.7)
        out[first : first + len(note)] += note
    return out[: round(DURATION_S * RATE_HZ)]


def drums() -> NDArray[np.float64]:
    """Bass drum, snare and hi-hat."""
    rng = np.random.default_rng(2)
    out = np.zeros(round((DURATION_S + 1) * RATE_HZ))
    time_s = np.arange(round(0.25 * RATE_HZ)) / RATE_HZ
    kick = np.sin(2 * np.pi * (55 * time_s - 3 * np.exp(-time_s / 0.03))) * np.exp(-time_s / 0.08)
    noise = rng.standard_normal(len(time_s))
    snare = (0.5 * noise + np.sin(2 * np.pi * 190 * time_s)) * np.exp(-time_s / 0.05)
    hat = 0.3 * np.diff(noise, prepend=0.0) * np.exp(-time_s / 0.02)
    for index in range(22):
        first = round((0.1 + 0.25 * index) * RATE_HZ)
        hit = hat + (kick if index % 4 == 0 else snare if index % 4 == 2 else 0.0)
        out[first : first + len(hit)] += 0.3 * hit
    return out[: round(DURATION_S * RATE_HZ)]


@pytest.fixture(scope="module")
def pipeline(model_store: ModelStore) -> SongPipeline:
    return SongPipeline(model_store, device="cpu")


def recording(folder: Path, *parts: NDArray[np.float64]) -> Path:
    total = sum(0.06 * part / np.sqrt(np.square(part).mean()) for part in parts)
    sf.write(folder / "recording.wav", np.clip(total, -1, 1), RATE_HZ)
    return folder / "recording.wav"


@pytest.mark.weights
@pytest.mark.parametrize(
    ("samples", "stem"),
    [(voice(), VOCALS), (guitar(), OTHER), (bass(), BASS), (drums(), DRUMS)],
    ids=[VOCALS, OTHER, BASS, DRUMS],
)
def test_a_solo_is_recognised_and_written_down_alone(
    pipeline: SongPipeline, tmp_path: Path, samples: NDArray[np.float64], stem: str
) -> None:
    path = recording(tmp_path, samples)
    seen: list[tuple[str, float]] = []
    found = pipeline.recognise(path, on_progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert found.stem == stem
    assert found.confidence > 0.7
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)
    assert {stage for stage, _ in seen} - {"loading"} == {"decoding", "recognising"}
    made = pipeline.transcribe({found.stem: path}, tmp_path / "out")
    assert [instrument.stem for instrument in made.heard.instruments] == [stem]
    assert len(made.heard.instruments[0].notes) >= 8


@pytest.mark.weights
def test_a_band_is_a_song(pipeline: SongPipeline, tmp_path: Path) -> None:
    band = recording(tmp_path, voice(), guitar(), bass(), drums())
    assert pipeline.recognise(band).stem is None


@pytest.mark.weights
def test_a_voice_and_a_guitar_are_a_song(pipeline: SongPipeline, tmp_path: Path) -> None:
    assert pipeline.recognise(recording(tmp_path, voice(), guitar())).stem is None
