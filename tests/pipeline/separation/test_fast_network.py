"""Faster layers compute what those they replace compute."""

from dataclasses import dataclass

import pytest
import torch
from demucs.demucs import DConv
from demucs.htdemucs import HTDemucs
from demucs.transformer import MyGroupNorm
from torch import Tensor, nn

from pipeline.separation.fast_layers import Attention, ResidualBranch, TokenNorm
from pipeline.separation.fast_network import make_fast


def randomised(layer: nn.Module) -> nn.Module:
    for weight in layer.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return layer.eval().requires_grad_(False)


def sdr_db(expected: Tensor, found: Tensor) -> float:
    return float(10 * torch.log10(expected.square().sum() / (expected - found).square().sum()))


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(1)


@dataclass(frozen=True)
class Numbers:
    dtype: torch.dtype
    tolerance: float


@pytest.mark.parametrize("numbers", [Numbers(torch.float32, 1e-5), Numbers(torch.bfloat16, 0.03)], ids=str)
@pytest.mark.parametrize(("n_queries", "n_keys"), [(50, 50), (1500, 30)])
def test_attention(n_queries: int, n_keys: int, numbers: Numbers) -> None:
    trained = randomised(nn.MultiheadAttention(32, 4, batch_first=True))
    query, key = torch.randn(2, n_queries, 32), torch.randn(2, n_keys, 32)
    expected = trained(query, key, key, need_weights=False)[0]
    q, k = query.to(numbers.dtype), key.to(numbers.dtype)
    found, scores = Attention(trained).to(numbers.dtype)(q, k, k)
    assert scores is None
    assert found.dtype == numbers.dtype
    assert (found - expected).abs().max() < numbers.tolerance * expected.abs().max()


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_residual_branch(offset: float) -> None:
    trained = randomised(DConv(24, compress=8, depth=2, init=0.5))
    x = torch.randn(3, 24, 77) + offset
    expected = trained(x)
    assert (expected - x).abs().max() > 1  # what the branch adds is not small
    torch.testing.assert_close(ResidualBranch(trained)(x), expected, rtol=0, atol=2e-5)


def test_token_norm() -> None:
    trained = randomised(MyGroupNorm(1, 16))
    x = 2 * torch.randn(3, 50, 16) + 1
    found = TokenNorm(trained)(x)
    assert found.is_contiguous()
    torch.testing.assert_close(found, trained(x), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_a_whole_network(small_htdemucs: HTDemucs) -> None:
    mix = torch.randn(2, 2, 44_100)
    expected = small_htdemucs(mix)
    found = make_fast(small_htdemucs, torch.float32)(mix)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    coarse = make_fast(small_htdemucs, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert sdr_db(expected, coarse(mix)) > 30


def test_every_layer_that_can_be_is_replaced(small_htdemucs: HTDemucs) -> None:
    slow = (nn.MultiheadAttention, DConv, MyGroupNorm)
    before = [layer for layer in small_htdemucs.modules() if isinstance(layer, slow)]
    assert {type(layer) for layer in before} == set(slow)
    fast = make_fast(small_htdemucs, torch.float32)
    assert not [layer for layer in fast.modules() if isinstance(layer, slow)]


def test_the_original_stays_as_it_is(small_htdemucs: HTDemucs) -> None:
    before = {name: weight.clone() for name, weight in small_htdemucs.state_dict().items()}
    layers = [type(layer) for layer in small_htdemucs.modules()]
    fast = make_fast(small_htdemucs, torch.bfloat16)
    assert {weight.dtype for weight in fast.parameters()} == {torch.float32, torch.bfloat16}
    assert [type(layer) for layer in small_htdemucs.modules()] == layers
    torch.testing.assert_close(dict(small_htdemucs.state_dict()), before, rtol=0, atol=0)


def test_float32_weights_share_memory(small_htdemucs: HTDemucs) -> None:
    fast = make_fast(small_htdemucs, torch.float32)
    trained = {weight.untyped_storage().data_ptr() for weight in small_htdemucs.parameters()}
    assert {weight.untyped_storage().data_ptr() for weight in fast.parameters()} <= trained
