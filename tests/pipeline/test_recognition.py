"""Solos and songs told apart: what is listened to, what is made of it, and that nothing is left behind.

Small networks stand for the separator's; that the real one is understood is shown in test_recognition_weights.py.
"""

from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.source import AudioSource
from pipeline.errors import Cancelled
from pipeline.models.network import SeparationModel
from pipeline.recognition import (
    BASS,
    DRUMS,
    OTHER,
    VOCALS,
    Heard,
    Opinion,
    Recognised,
    loudest_places,
    opinion,
    recognise,
    verdict,
)
from pipeline.recognition_modes import AUTO, MODES, SONG, STEMS, mode_of
from pipeline.separation.separator import Separator
from pipeline.transcription.pitch_track import PitchNetwork

RATE_HZ = 44_100
SEGMENT_SAMPLES = RATE_HZ
EXCERPT_S = 0.75


class Bands(nn.Module):
    """Gives what lies below 200 Hz to the bass, what lies above 5 kHz to the drums and the rest to a stem of others."""

    def __init__(self, n_stems: int = 4) -> None:
        super().__init__()
        self.n_stems = n_stems
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, mix: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(mix)
        hz = torch.fft.rfftfreq(mix.shape[-1], 1 / RATE_HZ)
        bands = [hz > 5000.0, hz < 200.0, (hz >= 200.0) & (hz <= 5000.0)]
        bands += [torch.zeros_like(bands[0])] * (self.n_stems - 3)
        return torch.stack([torch.fft.irfft(spectrum * band, n=mix.shape[-1]) for band in bands], dim=1)


@pytest.fixture
def batches() -> list[tuple[int, int]]:
    """One for each that the separator was given."""
    return []


@pytest.fixture
def separator(batches: list[tuple[int, int]]) -> Separator:
    return separator_of((DRUMS, BASS, OTHER, VOCALS), batches)


def separator_of(sources: tuple[str, ...], batches: list[tuple[int, int]]) -> Separator:
    model = SeparationModel(
        "bands", (Bands(len(sources)),), ((1.0,) * len(sources),), sources, RATE_HZ, 2, SEGMENT_SAMPLES
    )
    return Separator(model, device="cpu", precision="fp32", on_batch=lambda *fill: batches.append(fill))


@pytest.fixture(scope="module")
def network() -> Callable[[], PitchNetwork]:
    loaded = PitchNetwork(Path(str(distribution("swift-f0").locate_file("swift_f0/model.onnx"))))
    return lambda: loaded


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def taken(
    separator: Separator, network: Callable[[], PitchNetwork], tmp_path: Path, scratch: Path
) -> Callable[..., Recognised]:
    def recognised(samples: NDArray[np.floating], rate_hz: int = RATE_HZ) -> Recognised:
        found = recognise(source(tmp_path, samples, rate_hz), separator, network, scratch)
        assert list(scratch.iterdir()) == []
        return found

    return recognised


def source(folder: Path, samples: NDArray[np.floating], rate_hz: int = RATE_HZ) -> AudioSource:
    channels = np.atleast_2d(samples)
    path = folder / "recording.f32"
    path.write_bytes(np.ascontiguousarray(channels.T, dtype="<f4").tobytes())
    return AudioSource(path, rate_hz, *channels.shape)


def tone(hz: float, duration_s: float, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    return 0.2 * np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
@pytest.mark.parametrize(("hz", "stem"), [(80.0, BASS), (700.0, OTHER), (8000.0, DRUMS)])
def test_what_is_in_one_stem_is_that_stem(
    taken: Callable[..., Recognised], batches: list[tuple[int, int]], hz: float, stem: str, rate_hz: int
) -> None:
    found = taken(tone(hz, 6.0, rate_hz), rate_hz)
    assert found.stem == stem
    assert found.confidence > 0.9
    assert len(batches) == 4  # an excerpt from each quarter, one segment each


def test_what_is_in_two_is_a_song_after_one_segment(
    taken: Callable[..., Recognised], batches: list[tuple[int, int]]
) -> None:
    found = taken(tone(80.0, 6.0) + 0.1 * tone(8000.0, 6.0))
    assert found.stem is None
    assert found.confidence > 0.9
    assert len(batches) == 1


def test_a_solo_that_others_join_later_is_a_song(taken: Callable[..., Recognised]) -> None:
    joined = tone(700.0, 8.0)
    joined[-2 * RATE_HZ :] += 0.3 * tone(80.0, 2.0)
    assert taken(joined).stem is None


def test_drums_here_and_pitches_there_are_a_song(taken: Callable[..., Recognised]) -> None:
    assert taken(np.concatenate([tone(8000.0, 3.0), tone(700.0, 3.0)])).stem is None


def test_an_instrument_that_plays_low_for_a_while_is_one(taken: Callable[..., Recognised]) -> None:
    assert taken(np.concatenate([tone(80.0, 3.0), tone(700.0, 3.0)])).stem == OTHER


@pytest.mark.parametrize("n_samples", [0, 1, RATE_HZ // 2, 3 * RATE_HZ])
def test_silence_is_not_recognised(
    taken: Callable[..., Recognised], batches: list[tuple[int, int]], n_samples: int
) -> None:
    assert taken(np.zeros((2, n_samples))) == Recognised(None, 0.0)
    assert batches == []


@pytest.mark.parametrize("duration_s", [0.06, 0.5, 0.9, 1.6])
def test_a_short_recording_is_recognised_too(taken: Callable[..., Recognised], duration_s: float) -> None:
    stereo = np.stack([tone(700.0, duration_s)] * 2)
    assert taken(stereo).stem == OTHER
    assert taken(stereo) == taken(stereo)


@pytest.mark.parametrize(("n_samples", "rate_hz"), [(1, 8000), (399, 8000), (1, 96_000), (4799, 96_000)])
def test_less_than_a_note_is_not_recognised(taken: Callable[..., Recognised], n_samples: int, rate_hz: int) -> None:
    assert taken(np.full(n_samples, 0.5), rate_hz) == Recognised(None, 0.0)


def test_a_single_click_is_something(taken: Callable[..., Recognised]) -> None:
    click = np.zeros(2 * RATE_HZ)
    click[RATE_HZ] = 1.0
    assert taken(click) == taken(click) != Recognised(None, 0.0)


def test_stems_that_other_models_have_are_pitched_instruments(
    network: Callable[[], PitchNetwork], tmp_path: Path, scratch: Path
) -> None:
    separator = separator_of((DRUMS, BASS, "guitar", OTHER, VOCALS, "piano"), [])
    assert recognise(source(tmp_path, tone(700.0, 3.0)), separator, network, scratch).stem == OTHER


def test_excerpts_come_from_all_of_it_the_loudest_first(tmp_path: Path) -> None:
    levels = np.repeat([0.1, 0.3, 0.2, 0.001], RATE_HZ * 10)
    levels[12 * RATE_HZ : 13 * RATE_HZ] = 0.9
    places = loudest_places(source(tmp_path, levels * np.tile([1.0, -1.0], len(levels) // 2)), EXCERPT_S)
    assert [int(place / RATE_HZ // 10) for place in places] == [1, 2, 0]  # the last quarter is 40 dB down
    assert 12 * RATE_HZ <= places[0] <= 12.3 * RATE_HZ


def test_it_stops_when_told_and_leaves_nothing(
    separator: Separator, network: Callable[[], PitchNetwork], tmp_path: Path, scratch: Path
) -> None:
    seen: list[float] = []

    def enough(fraction: float) -> None:
        seen.append(fraction)
        if fraction > 0.5:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        recognise(source(tmp_path, tone(700.0, 6.0)), separator, network, scratch, enough)
    assert list(scratch.iterdir()) == []
    assert seen == sorted(seen)


def test_progress_ends_with_all_of_it(
    separator: Separator, network: Callable[[], PitchNetwork], tmp_path: Path, scratch: Path
) -> None:
    seen: list[float] = []
    recognise(source(tmp_path, tone(700.0, 6.0)), separator, network, scratch, seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(set(seen)) > 6


LEADS = {
    DRUMS: {DRUMS: 0.0, BASS: -60.0, OTHER: -40.0, VOCALS: -70.0},
    OTHER: {DRUMS: -60.0, BASS: -50.0, OTHER: 0.0, VOCALS: -60.0},
    VOCALS: {DRUMS: -40.0, BASS: -80.0, OTHER: -45.0, VOCALS: 0.0},
}


def test_a_voice_is_told_from_an_instrument_of_its_range() -> None:
    assert verdict([opinion(Heard(LEADS[VOCALS], voice=3.0))]).stem == VOCALS
    assert verdict([opinion(Heard(LEADS[VOCALS], voice=-6.0))]).stem == OTHER
    assert verdict([opinion(Heard(LEADS[OTHER], voice=3.0))]).stem == OTHER  # what is in the vocals is hardly there


def test_a_solo_that_the_separator_tears_apart_is_still_one() -> None:
    torn = {DRUMS: -60.0, BASS: -50.0, OTHER: -3.0, VOCALS: -3.0}
    assert verdict([opinion(Heard(torn, voice=-6.0))]).stem == OTHER
    assert verdict([opinion(Heard(torn, voice=3.0))]).stem is None


def test_solos_that_are_not_the_same_are_a_song() -> None:
    for leads in ((DRUMS, OTHER), (VOCALS, OTHER), (VOCALS, BASS), (DRUMS, BASS, OTHER)):
        assert verdict([Opinion(lead, 30.0) for lead in leads]).stem is None
    assert verdict([Opinion(lead, 30.0) for lead in (BASS, OTHER, BASS)]).stem == OTHER


def test_one_excerpt_of_a_song_makes_it_one() -> None:
    solo, several = Opinion(OTHER, 20.0), Opinion(OTHER, -5.0)
    assert verdict([solo, solo]).stem == OTHER
    assert verdict([solo, several]).stem is None
    assert verdict([]) == Recognised(None, 0.0)


def test_who_is_unsure_says_so() -> None:
    margins = (0.0, 1.0, 5.0, 20.0)
    solos = [verdict([Opinion(DRUMS, margin)]).confidence for margin in margins]
    songs = [verdict([Opinion(OTHER, -margin - 0.1)]).confidence for margin in margins]
    for sureness in (solos, songs):
        assert sureness == sorted(sureness)
        assert 0.5 <= sureness[0] < 0.6
        assert 0.95 < sureness[-1] <= 1.0


def test_modes_are_named_for_stems() -> None:
    assert set(MODES) == {AUTO, SONG, *STEMS}
    assert set(STEMS.values()) == {DRUMS, BASS, OTHER, VOCALS}
    assert mode_of(None) == SONG
    assert [mode_of(stem) for stem in STEMS.values()] == list(STEMS)
