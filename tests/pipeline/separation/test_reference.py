"""htdemucs with its real weights, against ``demucs.apply`` on generated music."""

from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model
from numpy.typing import NDArray

from bench.bench_separation import generated_song, write_source
from pipeline.audio.source import AudioSource
from pipeline.models.network import SeparationModel, load_separation_model
from pipeline.models.store import ModelStore
from pipeline.separation.separator import Separator
from pipeline.separation.stems import separate

pytestmark = pytest.mark.weights

FULL_SCALE_TOLERANCE = 1e-4
LONG_S = 20.1234  # four segments, the last one short


@pytest.fixture(scope="module")
def model(model_store: ModelStore) -> SeparationModel:
    return load_separation_model("htdemucs", model_store)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> AudioSource:
    return write_source(generated_song(LONG_S), tmp_path_factory.mktemp("song") / "song.f32")


@pytest.fixture(scope="module")
def in_float32(model: SeparationModel, song: AudioSource) -> NDArray[np.float32]:
    return separated(Separator(model, device="cpu", precision="fp32"), song)


def separated(separator: Separator, mix: AudioSource) -> NDArray[np.float32]:
    return np.concatenate(list(separator.stream(mix)), axis=-1)


def reference(model: SeparationModel, mix: AudioSource) -> NDArray[np.float32]:
    audio = torch.from_numpy(mix.read(0, mix.n_samples))
    mono = audio.mean(0)
    mean, std = mono.mean(), mono.std() + 1e-8
    return np.asarray(apply_model(model.networks[0], ((audio - mean) / std)[None], shifts=0)[0] * std + mean)


def test_equals_the_reference(model: SeparationModel, song: AudioSource, in_float32: NDArray[np.float32]) -> None:
    expected = reference(model, song)
    assert (power(expected) > 0.01**2).all()  # every stem of this music is heard
    assert np.abs(in_float32 - expected).max() < FULL_SCALE_TOLERANCE


def test_equals_the_reference_in_less_than_a_segment(model: SeparationModel, tmp_path: Path) -> None:
    short = write_source(generated_song(3.21, seed=1), tmp_path / "short.f32")
    found = separated(Separator(model, device="cpu", precision="fp32"), short)
    assert np.abs(found - reference(model, short)).max() < FULL_SCALE_TOLERANCE


def test_bfloat16_is_close(model: SeparationModel, song: AudioSource, in_float32: NDArray[np.float32]) -> None:
    error = power(separated(Separator(model, device="cpu", precision="bf16"), song) - in_float32)
    # The best separators are wrong by a tenth of a stem's power; this adds a thousandth or less to it.
    assert (error < 1e-3 * power(in_float32)).all()
    assert (error < 1e-4 * power(song.read(0, song.n_samples))).all()


def power(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean square over channels and time."""
    return np.square(samples).mean(axis=(-2, -1))


def test_songs_in_one_batch_come_out_as_each_alone(model: SeparationModel, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    separator = Separator(model, device="cpu", batch_size=2, on_batch=lambda *fill: told.append(fill))
    three, one = (
        write_source(generated_song(n_samples / 44_100, seed=n_samples), tmp_path / f"{n_samples}.f32")
        for n_samples in (530_000, 220_501)
    )
    stream = separator.stream(three)
    blocks = [next(stream), next(stream)]  # now its third segment waits
    found = [separated(separator, one), np.concatenate([*blocks, *stream], axis=-1)]
    assert told == [(2, 2), (2, 2)]
    for song, samples in zip((one, three), found, strict=True):
        np.testing.assert_array_equal(samples, separated(Separator(model, device="cpu", batch_size=2), song))


def test_the_same_bytes_every_time(model: SeparationModel, tmp_path: Path) -> None:
    mix = write_source(generated_song(8, seed=2), tmp_path / "song.f32")
    files = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        separator = Separator(model, device="cpu")
        made = separate(mix, separator, tmp_path / run, only="vocals", residual=False, scratch=tmp_path)
        files.append({stem.name: stem.path.read_bytes() for stem in made.stems})
    assert files[0] == files[1]
