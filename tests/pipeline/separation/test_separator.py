"""The separator, with small networks."""

from typing import Any

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.htdemucs import HTDemucs
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.audio.source import AudioSource
from pipeline.errors import Cancelled, ModelError
from pipeline.separation.separator import Separator

SOURCES = ("drums", "vocals", "other")


class Broken(nn.Module):
    """Gives values that are not numbers, or only when asked for bfloat16."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.always = always

    def forward(self, mix: Tensor) -> Tensor:
        broken = self.always or torch.is_autocast_enabled("cpu")
        return mix[:, None].expand(-1, len(SOURCES), -1, -1) * (torch.nan if broken else 1.0)


class NeverRun(nn.Module):
    def forward(self, mix: Tensor) -> Tensor:
        raise AssertionError("this network was not to run")


def noise(n_samples: int, channels: int = 2, scale: float = 0.1) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(n_samples).standard_normal((channels, n_samples))).astype(np.float32)


def everything(separator: Separator, mix: AudioSource, **arguments: Any) -> NDArray[np.float32]:
    return np.concatenate(list(separator.stream(mix, **arguments)), axis=-1)


def share_of(mix: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """What the network of shares makes of a mix: as in the reference, the mean goes to every stem."""
    mean = mix.mean()
    return share * (mix - mean) + mean


def reference(network: nn.Module, mix: NDArray[np.float32]) -> NDArray[np.float32]:
    """As demucs.api separates: float32, shape (n_sources, channels, n)."""
    audio = torch.from_numpy(mix)
    mono = audio.mean(0)
    mean, std = mono.mean(), mono.std() + 1e-8
    return np.asarray(apply_model(network, ((audio - mean) / std)[None], shifts=0)[0] * std + mean)


@pytest.mark.parametrize("n_samples", [1000, 33_075, 44_100, 50_001, 120_000])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_the_reference(model_of, source, small_htdemucs, n_samples: int, batch_size: int) -> None:
    mix = noise(n_samples) + np.float32(0.03)
    model = model_of(small_htdemucs, segment_samples=44_100)
    separator = Separator(model, device="cpu", precision="fp32", batch_size=batch_size)
    np.testing.assert_allclose(everything(separator, source(mix)), reference(small_htdemucs, mix), rtol=0, atol=2e-6)


def test_a_bag_equals_the_reference(model_of, source, small_htdemucs: HTDemucs) -> None:
    torch.manual_seed(9)
    other = HTDemucs(**{**small_htdemucs._init_args_kwargs[1], "sources": list(SOURCES)}).eval().requires_grad_(False)
    weights = ((1.0, 0.0, 2.0), (0.5, 1.0, 0.0))
    model = model_of(small_htdemucs, other, weights=weights, segment_samples=44_100)
    mix = noise(60_000)
    bag = BagOfModels([small_htdemucs, other], [list(row) for row in weights])
    separated = everything(Separator(model, device="cpu", precision="fp32"), source(mix))
    np.testing.assert_allclose(separated, reference(bag, mix), rtol=0, atol=2e-6)


def test_wanted_stems_come_in_the_wanted_order_and_only_their_networks_run(model_of, source, shares) -> None:
    model = model_of(
        shares(0.1, 0.2, 0.3), NeverRun(), shares(7.0, 7.0, 0.4), weights=((1, 0, 0), (0, 1, 0), (0, 0, 1))
    )
    mix = noise(20_000)
    separated = everything(Separator(model, device="cpu"), source(mix), stems=("other", "drums"))
    np.testing.assert_allclose(separated, np.stack([share_of(mix, 0.4), share_of(mix, 0.1)]), atol=1e-6)


def test_a_stem_that_the_model_does_not_have(model_of, source, shares) -> None:
    separator = Separator(model_of(shares(1, 0, 0)), device="cpu")
    with pytest.raises(ModelError, match="no stem 'piano', only drums, vocals, other"):
        separator.stream(source(noise(10)), stems=("piano",))


def test_mono_is_heard_in_every_channel(model_of, source, small_htdemucs) -> None:
    separator = Separator(model_of(small_htdemucs, segment_samples=44_100), device="cpu")
    mono = noise(50_000, channels=1)
    twice = np.repeat(mono, 2, axis=0)
    np.testing.assert_array_equal(everything(separator, source(mono)), everything(separator, source(twice)))


@pytest.mark.parametrize("level", [0.0, 0.25])
@pytest.mark.parametrize("n_samples", [1, 20_000])
def test_what_does_not_move_is_silence_without_a_run(model_of, source, level: float, n_samples: int) -> None:
    mix = np.full((2, n_samples), level, dtype=np.float32)
    seen: list[float] = []
    separated = everything(Separator(model_of(NeverRun()), device="cpu"), source(mix), on_progress=seen.append)
    np.testing.assert_array_equal(separated, np.zeros((3, 2, n_samples)))
    assert seen[-1] == 1.0


def test_no_audio(model_of, source) -> None:
    seen: list[float] = []
    separator = Separator(model_of(NeverRun()), device="cpu")
    assert list(separator.stream(source(noise(0)), seen.append)) == []
    assert seen[-1] == 1.0


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 30.0])
def test_any_level_is_separated_alike(model_of, source, small_htdemucs, scale: float) -> None:
    separator = Separator(model_of(small_htdemucs, segment_samples=44_100), device="cpu", precision="fp32")
    mix = noise(44_100)
    expected = everything(separator, source(mix))
    found = everything(separator, source(mix * np.float32(scale))) / np.float32(scale)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2 * np.abs(expected).max())


def test_channels_that_cancel_out_are_not_silence(model_of, source, shares) -> None:
    left = noise(20_000, channels=1)
    mix = np.concatenate([left, -left])
    separated = everything(Separator(model_of(shares(0.5, 0.25, 0.125)), device="cpu"), source(mix))
    np.testing.assert_allclose(separated[0], 0.5 * mix, atol=1e-6)


def test_bfloat16_that_breaks_is_done_again_in_float32(model_of, source) -> None:
    mix = noise(20_000)
    separated = everything(Separator(model_of(Broken(always=False)), device="cpu", precision="bf16"), source(mix))
    np.testing.assert_allclose(separated[1], mix, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_broken_weights_are_an_error(model_of, source, precision: str) -> None:
    separator = Separator(model_of(Broken(always=True)), device="cpu", precision=precision)
    with pytest.raises(ModelError, match="stemscribe models verify small"):
        everything(separator, source(noise(100)))


def test_batches_do_not_change_the_result(model_of, source, small_htdemucs) -> None:
    model = model_of(small_htdemucs, segment_samples=44_100)
    mix = source(noise(200_000))
    one, four = (everything(Separator(model, device="cpu", precision="fp32", batch_size=size), mix) for size in (1, 4))
    np.testing.assert_allclose(four, one, rtol=0, atol=2e-6)


def test_the_same_samples_every_time(model_of, source, small_htdemucs) -> None:
    model = model_of(small_htdemucs, segment_samples=44_100)
    mix = source(noise(100_000))
    np.testing.assert_array_equal(*(everything(Separator(model, device="cpu"), mix) for _ in range(2)))


def test_progress_counts_segments(model_of, source, shares) -> None:
    seen: list[float] = []
    everything(
        Separator(model_of(shares(1, 0, 0)), device="cpu", batch_size=2), source(noise(30_000)), on_progress=seen.append
    )
    assert seen == sorted(seen)
    assert sorted(set(seen)) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_an_exception_of_the_callback_ends_it_before_the_next_batch(model_of, source) -> None:
    def stop(_fraction: float) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        everything(Separator(model_of(NeverRun()), device="cpu"), source(noise(30_000)), on_progress=stop)


def test_it_ends_before_the_next_network_of_a_bag(model_of, source, shares) -> None:
    first = shares(1, 0, 0)
    heard: list[bool] = []
    first.register_forward_pre_hook(lambda *_: heard.append(True))

    def stop(_fraction: float) -> None:
        if heard:
            raise Cancelled("enough")

    separator = Separator(model_of(first, NeverRun()), device="cpu", precision="fp32")
    with pytest.raises(Cancelled, match="enough"):
        everything(separator, source(noise(8000)), on_progress=stop)
    assert heard == [True]


def test_streams_may_take_turns(model_of, source, shares) -> None:
    separator = Separator(model_of(shares(1, 0.5, 0)), device="cpu")
    first, second = noise(30_000), noise(31_000)
    pairs = list(zip(separator.stream(source(first)), separator.stream(source(second)), strict=True))
    for stream, mix in enumerate((first, second)):
        separated = np.concatenate([pair[stream] for pair in pairs], axis=-1)
        np.testing.assert_allclose(separated[1], share_of(mix, 0.5), atol=1e-6)


@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 3)])
def test_a_mix_that_does_not_fit(model_of, source, shares, rate_hz: int, channels: int) -> None:
    separator = Separator(model_of(shares(1, 0, 0)), device="cpu")
    with pytest.raises(ValueError, match=f"{channels} channels at {rate_hz} Hz does not fit small"):
        separator.stream(source(noise(10, channels), rate_hz))
