"""Layers of HTDemucs in a form that costs less time, made from the trained ones.

They compute what the layers they replace compute (to rounding) and are called the same way, so that demucs'
own network runs on with them in place.
"""

import torch
from demucs.demucs import DConv
from torch import Tensor, nn
from torch.nn import functional

# Rows of the score matrix that are computed at a time on a CPU in bfloat16: 672 x 2688 scores are 3.6 MB and stay in
# the cache.  Medians on a 2-core Zen 4, eight heads of 2688 x 2688: 58 ms so, 96 ms by torch's own kernel, 123 ms with
# whole matrices.  In float32 torch's kernel is the fastest (92 ms against 105 ms).
_SCORE_ROWS = 672


class Attention(nn.Module):
    """Multi-head attention in place of a ``batch_first`` :class:`torch.nn.MultiheadAttention`, for inference."""

    batch_first = True  # read by the layer around it

    def __init__(self, trained: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = trained.num_heads
        self._width = trained.embed_dim
        self.project_in = nn.Linear(trained.embed_dim, 3 * trained.embed_dim, device="meta")
        self.project_in.weight, self.project_in.bias = trained.in_proj_weight, trained.in_proj_bias
        self.project_out = trained.out_proj

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **_unused: object) -> tuple[Tensor, None]:
        """Attend.

        Args:
            query: shape (batch, n_queries, width).
            key: shape (batch, n_keys, width); ``value`` is the same tensor.
            value: see ``key``.

        Returns:
            What was attended to, shape (batch, n_queries, width), and None in place of the attention weights.
        """
        weight, bias, width = self.project_in.weight, self.project_in.bias, self._width
        q = self._split(functional.linear(query, weight[:width], bias[:width]))
        k, v = (self._split(part) for part in functional.linear(key, weight[width:], bias[width:]).chunk(2, dim=-1))
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:
            attended = _attend_in_cache(q, k, v)
        else:
            attended = functional.scaled_dot_product_attention(q, k, v)
        return self.project_out(attended.transpose(1, 2).flatten(2)), None

    def _split(self, x: Tensor) -> Tensor:
        """(batch, n, width) to (batch, heads, n, width / heads)."""
        return x.unflatten(-1, (self._heads, -1)).transpose(1, 2)


def _attend_in_cache(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention, one head and ``_SCORE_ROWS`` queries at a time; all (batch, heads, n, width)."""
    out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3]).transpose(1, 2)
    q = q * q.shape[-1] ** -0.5
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            keys, values = k[b, h].t().contiguous(), v[b, h].contiguous()
            for rows in torch.arange(q.shape[2]).split(_SCORE_ROWS):
                at = slice(int(rows[0]), int(rows[-1]) + 1)
                out[b, h, at] = torch.softmax(q[b, h, at] @ keys, dim=-1) @ values
    return out


class ResidualLayer(nn.Module):
    """One residual layer of a :class:`demucs.demucs.DConv`: squeeze, norm, GELU, widen, norm, GLU, scale.

    The second norm is over all the values that widening makes, eight times those of its input or more.  As widening
    is linear, their mean and variance follow from the first and second moments of the input, and norm and scale
    become other weights of the widening: the wide values are written once and read once, by the GLU.

    With ``z = W h + b`` over ``C`` channels: mean(z) = mean_c(W) . m + mean(b) and mean(z^2) = <W'W / C, S> +
    2 (W'b / C) . m + mean(b^2), where ``m`` is the mean of ``h`` over time and ``S`` that of ``h h'``.
    """

    def __init__(self, trained: nn.Sequential) -> None:
        super().__init__()
        squeeze, norm, gelu, widen, wide_norm, glu, layer_scale = trained
        self.squeeze, self.norm, self.eps = squeeze, norm, wide_norm.eps
        w, b = widen.weight[:, :, 0], widen.bias
        scale = torch.cat([layer_scale.scale, torch.ones_like(layer_scale.scale)])  # GLU: only the first half is scaled
        gain = wide_norm.weight * scale
        n_wide = len(w)
        self.register_buffer("weight", w * gain[:, None])
        self.register_buffer("bias", b * gain)
        self.register_buffer("gain", gain)
        self.register_buffer("offset", wide_norm.bias * scale)
        self.register_buffer("mean_weight", w.mean(0))
        self.register_buffer("mean_bias", b.mean())
        self.register_buffer("square_weight", w.T @ w / n_wide)
        self.register_buffer("cross_weight", w.T @ b / n_wide)
        self.register_buffer("square_bias", b.square().mean())

    def forward(self, x: Tensor) -> Tensor:
        """What is added to ``x``: shape (batch, channels, n), of the precision of ``x``."""
        h = functional.gelu(self.norm(self.squeeze(x).float()))
        m = h.mean(-1)
        s = h @ h.transpose(1, 2) / h.shape[-1]
        mean = m @ self.mean_weight + self.mean_bias
        square = (s * self.square_weight).sum((1, 2)) + 2 * (m @ self.cross_weight) + self.square_bias
        rate = torch.rsqrt(square - mean.square() + self.eps)[:, None]
        bias = (self.bias - mean[:, None] * self.gain) * rate + self.offset
        weight = torch.cat([self.weight * rate[:, :, None], bias[:, :, None]], dim=2)
        one = h.new_ones(len(h), 1, h.shape[2])  # carries the bias
        wide = weight.to(x.dtype) @ torch.cat([h, one], dim=1).to(x.dtype)
        return functional.glu(wide, dim=1)


class ResidualBranch(nn.Module):
    """A :class:`demucs.demucs.DConv` without attention and LSTM (as every HTDemucs has it), for inference."""

    def __init__(self, trained: DConv) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ResidualLayer(layer) for layer in trained.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, channels, n) to the same; in the precision of the weights."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.layers[0].squeeze.weight.dtype)
            for layer in self.layers:
                x = x + layer(x)
        return x
