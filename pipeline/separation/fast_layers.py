"""Layers of HTDemucs in a form that costs less time, made from the trained ones.

They compute what the layers they replace compute, to rounding, and are called the same way, so that demucs' own
network runs on with them in place.  Figures are CPU time of one 7.8 s segment on a Zen 4 with AVX512-BF16, where all
of it takes 3.1 s in bfloat16 with the layers as they come.
"""

from typing import Any

import torch
from demucs.demucs import DConv
from demucs.transformer import MyGroupNorm
from torch import Tensor, nn
from torch.nn import functional

# Rows of a score matrix that are made at a time in bfloat16 on a CPU: 672 x 2688 of them are 3.6 MB and stay in the
# cache.  For 8 heads of 2688 x 2688: 112 ms so, 191 ms by torch's own kernel, as much by whole matrices.  Anything
# from 192 to 896 is as good.  In float32 torch's kernel is the best (184 ms against 206 ms).
_SCORE_ROWS = 672


class Attention(nn.Module):
    """In place of a :class:`torch.nn.MultiheadAttention` with ``batch_first``; never makes a whole score matrix."""

    batch_first = True  # read by the layer around it

    def __init__(self, trained: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = trained.num_heads
        self.weights = nn.ParameterList(trained.in_proj_weight.chunk(3))  # of query, key and value
        self.biases = nn.ParameterList(trained.in_proj_bias.chunk(3))
        self.project_out = trained.out_proj

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **_ignored: object) -> tuple[Tensor, None]:
        """Attend.

        Args:
            query: shape (batch, n_queries, width).
            key: shape (batch, n_keys, width).
            value: shape (batch, n_keys, width).

        Returns:
            Shape (batch, n_queries, width), and None for the scores that nobody asked for.
        """
        q, k, v = (
            functional.linear(x, weight, bias).view(*x.shape[:2], self._heads, -1).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), self.weights, self.biases, strict=True)
        )  # each of shape (batch, heads, n, width / heads)
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:
            attended = _attend_in_cache(q, k, v)
        else:
            attended = functional.scaled_dot_product_attention(q, k, v)
        return self.project_out(attended.transpose(1, 2).flatten(2)), None


def _attend_in_cache(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one head and ``_SCORE_ROWS`` queries at a time; all of shape (batch, heads, n, width)."""
    heads = zip(*(x.flatten(0, 1) for x in (q * q.shape[-1] ** -0.5, k, v)), strict=True)
    attended = [
        torch.cat([torch.softmax(rows @ keys.T, dim=-1) @ values for rows in queries.split(_SCORE_ROWS)])
        for queries, keys, values in heads
    ]
    return torch.stack(attended).view_as(q)


class TokenNorm(nn.Module):
    """In place of a :class:`demucs.transformer.MyGroupNorm` of one group: normalises all tokens together.

    The original goes through a transposed view and returns one, on which every later layer is slow (60 ms).
    """

    def __init__(self, trained: MyGroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self._eps = trained.weight, trained.bias, trained.eps

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, n, width) to the same."""
        return functional.layer_norm(x, x.shape[1:], eps=self._eps) * self.weight + self.bias


class ResidualBranch(nn.Module):
    """In place of a :class:`demucs.demucs.DConv` without attention and LSTM, as all of HTDemucs' are."""

    def __init__(self, trained: DConv) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_ResidualLayer(layer) for layer in trained.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, channels, n) to the same, in the precision of the squeezing weights."""
        with torch.autocast(x.device.type, enabled=False):
            for layer in self.layers:
                x = layer(x)
        return x


class _ResidualLayer(nn.Module):
    """Squeeze, norm, GELU, widen, norm, GLU, scale; added to the input.

    The second norm sees eight times (or more) the values that the first does.  As widening is linear, ``z = W h + b``
    over ``C`` channels, mean and variance of ``z`` follow from the moments of ``h``:
    ``mean(z) = mean_c(W) . m + mean(b)`` and ``mean(z^2) = <W'W / C, S> + 2 (W'b / C) . m + mean(b^2)``, with ``m``
    and ``S`` the means over time of ``h`` and ``h h'``.  Norm and scale then turn into other weights of the widening:
    what is wide is written once and read once, by the GLU.  (For all branches 270 ms instead of 470 ms.)
    """

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        parts: list[Any] = list(trained.children())
        squeeze, norm, _gelu, widen, wide_norm, _glu, layer_scale = parts
        self.squeeze: nn.Conv1d = squeeze
        self.norm: nn.GroupNorm = norm
        self._eps: float = wide_norm.eps
        w, b = widen.weight[:, :, 0], widen.bias
        scale = torch.cat([layer_scale.scale, torch.ones_like(layer_scale.scale)])  # a GLU's gates are not scaled
        gain = wide_norm.weight * scale
        self.gain = nn.Buffer(gain)
        self.offset = nn.Buffer(wide_norm.bias * scale)
        self.weight = nn.Buffer(w * gain[:, None])
        self.bias = nn.Buffer(b * gain)
        self.mean_weight = nn.Buffer(w.mean(0))
        self.mean_bias = nn.Buffer(b.mean())
        self.square_weight = nn.Buffer(w.T @ w / len(w))
        self.cross_weight = nn.Buffer(w.T @ b / len(w))
        self.square_bias = nn.Buffer(b.square().mean())

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.squeeze.weight.dtype)
        h = functional.gelu(self.norm(self.squeeze(x).float()))
        m, s = h.mean(-1), h @ h.mT / h.shape[-1]
        mean = m @ self.mean_weight + self.mean_bias
        square = (s * self.square_weight).sum((1, 2)) + 2 * (m @ self.cross_weight) + self.square_bias
        rate = torch.rsqrt(square - mean.square() + self._eps)[:, None]
        bias = (self.bias - mean[:, None] * self.gain) * rate + self.offset
        weight = torch.cat([self.weight * rate[:, :, None], bias[:, :, None]], dim=2)
        one = h.new_ones(len(h), 1, h.shape[2])  # what the bias is multiplied with
        wide = weight.to(x.dtype) @ torch.cat([h, one], dim=1).to(x.dtype)
        return x + functional.glu(wide, dim=1)
