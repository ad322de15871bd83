"""What is heard of a stem: nothing that is played is lost, and nothing is heard twice."""

import tracemalloc

import numpy as np
import pytest

from pipeline.audio.source import AudioSource
from pipeline.transcription.bleed import FADE_S, MAX_RATE_HZ, heard
from pipeline.transcription.phantoms import EVERYWHERE, Presence

RATE_HZ = 8000
DURATION_S = 10


@pytest.fixture
def source(tmp_path):
    def write(samples: np.ndarray, rate_hz: int = RATE_HZ) -> AudioSource:
        path = tmp_path / f"stem{len(list(tmp_path.iterdir()))}.f32"
        np.asarray(samples, dtype="<f4").tofile(path)
        return AudioSource(path, rate_hz, 1, len(samples))

    return write


@pytest.fixture
def stems(source) -> dict[str, AudioSource]:
    rng = np.random.default_rng(0)
    return {name: source(rng.standard_normal(DURATION_S * RATE_HZ)) for name in ("bass", "vocals", "other")}


def second(samples: np.ndarray, start_s: float) -> np.ndarray:
    return samples[round((start_s + FADE_S) * RATE_HZ) : round((start_s + 1 - FADE_S) * RATE_HZ)]


def test_where_a_stem_is_a_phantom_its_sound_is_heard_in_its_home(stems):
    presence = {"vocals": Presence(((2.0, 4.0), (7.0, 11.0)), 1.0, "other"), "bass": EVERYWHERE, "other": EVERYWHERE}
    own = {name: audio.mono() for name, audio in stems.items()}
    vocals, rate_hz = heard("vocals", stems, presence)
    other, _ = heard("other", stems, presence)
    bass, _ = heard("bass", stems, presence)
    assert rate_hz == RATE_HZ
    for sung_s in (2, 3, 7, 9):
        np.testing.assert_array_equal(second(vocals, sung_s), second(own["vocals"], sung_s))
        np.testing.assert_array_equal(second(other, sung_s), second(own["other"], sung_s))
    for phantom_s in (0, 1, 4, 6):
        assert not second(vocals, phantom_s).any()
        np.testing.assert_array_equal(second(other, phantom_s), second(own["vocals"] + own["other"], phantom_s))
    np.testing.assert_array_equal(bass, own["bass"])
    np.testing.assert_allclose(vocals + other, own["vocals"] + own["other"], atol=1e-6)  # fades too
    assert np.abs(np.diff(heard("vocals", {"vocals": _ones(stems)}, presence)[0])).max() < 0.01


def _ones(stems: dict[str, AudioSource]) -> AudioSource:
    np.ones(DURATION_S * RATE_HZ, dtype="<f4").tofile(stems["vocals"].path)
    return stems["vocals"]


def test_a_phantom_without_a_home_is_not_heard(stems):
    presence = {"bass": EVERYWHERE, "vocals": Presence((), 0.0), "other": EVERYWHERE}
    assert not heard("vocals", stems, presence)[0].any()
    np.testing.assert_array_equal(heard("other", stems, presence)[0], stems["other"].mono())


def test_spans_beyond_the_audio_do_no_harm(stems):
    presence = {name: Presence(((9.0, 12.0), (15.0, 20.0)), 1.0) for name in stems}
    samples, _ = heard("bass", stems, presence)
    assert not samples[: round(8.9 * RATE_HZ)].any()
    np.testing.assert_array_equal(samples[round(9.1 * RATE_HZ) :], stems["bass"].mono()[round(9.1 * RATE_HZ) :])


@pytest.mark.parametrize("n_samples", [0, 1, 50])
def test_very_short_audio_is_heard(source, n_samples):
    samples, _ = heard("bass", {"bass": source(np.ones(n_samples))}, {"bass": Presence((), 0.0)})
    assert not samples.any()
    assert len(samples) == n_samples


def test_high_rates_are_heard_at_less(source):
    time_s = np.arange(3 * 96_000) / 96_000
    stems = {name: source(np.sin(2 * np.pi * 440 * time_s), 96_000) for name in ("vocals", "other")}
    presence = {"vocals": Presence((), 0.0, "other"), "other": EVERYWHERE}
    samples, rate_hz = heard("other", stems, presence)
    assert (rate_hz, len(samples)) == (MAX_RATE_HZ, 3 * MAX_RATE_HZ)
    assert np.abs(samples[4410:-4410]).max() == pytest.approx(2.0, abs=0.01)


def test_no_more_than_two_stems_are_in_memory(tmp_path):
    """Five stems of a minute: the mono of one is 10.6 MB, and blocks take a few more."""
    stems = {}
    for name in ("bass", "drums", "guitar", "piano", "other"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(60 * 44_100 * 2 * 4)
        stems[name] = AudioSource(tmp_path / name, 44_100, 2, 60 * 44_100)
    presence = {name: Presence((), 0.0, "other") for name in stems} | {"other": EVERYWHERE}
    tracemalloc.start()
    try:
        heard("other", stems, presence)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * 10_600_000 + 8_000_000
