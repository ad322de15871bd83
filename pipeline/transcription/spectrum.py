"""Log-frequency spectra, three bins a semitone, as the note network sees them."""

import torch
from torch import Tensor, nn

RATE_HZ = 22_050
BINS_PER_OCTAVE = 36
FIRST_PITCH, N_PITCHES = 21, 88
# Three bins a semitone, the middle one in tune
N_BINS = 3 * N_PITCHES
_A0_HZ = 27.5
_FLOOR = 1e-10


class LogSpectra(nn.Module):
    """Audio in, levels out.

    Args:
        window: length of the Hann window, in samples.
        hop: from one to the next.
        octaves_above: how far above the highest key the levels go on, for its partials.
    """

    _window: Tensor
    _bins: Tensor

    def __init__(self, window: int, hop: int, octaves_above: int) -> None:
        super().__init__()
        self._length, self._hop = window, hop
        n_bins = N_BINS + BINS_PER_OCTAVE * octaves_above
        self.register_buffer("_window", torch.hann_window(window), persistent=False)
        self.register_buffer("_bins", _triangles(window, n_bins), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Levels (batch, n_frames, n_bins) of samples (batch, n_samples): decibels, -100 to 0 as 0 to 1.

        Frame k is centred at sample k * hop; there are n_samples // hop of them.
        """
        n_frames = samples.shape[-1] // self._hop
        spectrum = torch.stft(
            samples, self._length, self._hop, window=self._window, pad_mode="constant", return_complex=True
        )
        real, imaginary = spectrum.real[..., :n_frames], spectrum.imag[..., :n_frames]
        powers = torch.addcmul(real * real, imaginary, imaginary) * (4 / self._length) ** 2
        return torch.log10(torch.matmul(powers.transpose(1, 2), self._bins) + _FLOOR) / 10 + 1


def _triangles(length: int, n_bins: int) -> Tensor:
    """Weights (length // 2 + 1, n_bins): triangles a bin wide, or .75 of a line of the spectrum if that is wider."""
    lines_hz = torch.arange(length // 2 + 1, dtype=torch.float64) * RATE_HZ / length
    centres_hz = _A0_HZ * 2.0 ** ((torch.arange(n_bins, dtype=torch.float64) - 1) / BINS_PER_OCTAVE)
    widths_hz = torch.clamp(centres_hz * (2 ** (1 / BINS_PER_OCTAVE) - 1), min=0.75 * RATE_HZ / length)
    weights = torch.clamp(1 - (lines_hz[:, None] - centres_hz[None]).abs() / widths_hz[None], min=0)
    sums = weights.sum(dim=0, keepdim=True)
    return torch.where(sums > 0, weights / sums.clamp(min=1e-9), torch.zeros_like(weights)).float()
