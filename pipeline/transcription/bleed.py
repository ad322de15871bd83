"""What a transcriber hears of a stem: silence where it is not played, and what leaked out of it into others.

Where a stem is a phantom (:mod:`pipeline.transcription.phantoms`), its sound goes back to the stem it belongs to.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.resample import StreamResampler, resampled_length
from pipeline.audio.source import AudioSource
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.phantoms import Presence, Spans

# What transcribers hear of a stem is in memory, so its rate has a bound: half an hour takes 0.3 GB, where 192 kHz would
# take 1.4.  Drums are heard up to 20 kHz; no transcriber uses more.
MAX_RATE_HZ = 44_100
FADE_S = 0.02  # long enough not to click, shorter than any note


def heard(
    stem: str,
    stems: Mapping[str, AudioSource],
    presence: Mapping[str, Presence],
    on_progress: OnProgress = unheard,
) -> tuple[NDArray[np.float32], int]:
    """What is to be transcribed as one stem of a song.

    Args:
        stem: name of the stem.
        stems: all stems of the song; of no more than two the samples are in memory at once.
        presence: where each of them is played.
        on_progress: told of every few seconds of audio.

    Returns:
        The mean of the channels, float32, shape (n_samples,), and its rate in Hz: at most :data:`MAX_RATE_HZ`.
    """
    guests = [name for name in stems if presence[name].home == stem]
    share = 1 / (1 + len(guests))
    samples, rate_hz = _mono(stems[stem], part(on_progress, 0.0, share))
    _silence(samples, rate_hz, _gaps(presence[stem].spans))
    for index, name in enumerate(guests, start=1):
        guest, _ = _mono(stems[name], part(on_progress, index * share, (index + 1) * share))
        _silence(guest, rate_hz, presence[name].spans)
        samples += guest
        del guest  # before the next one is read
    return samples, rate_hz


def _gaps(spans: Spans) -> Spans:
    """What lies between spans, before the first and after the last."""
    edges = [-np.inf, *(edge for span in spans for edge in span), np.inf]
    return tuple((start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end)


def _silence(samples: NDArray[np.float32], rate_hz: int, spans: Spans) -> None:
    """Fade samples out in place over the stretches, over :data:`FADE_S` around each of their ends.

    Silencing the spans of one recording and the gaps between them of another makes the sum of both change over evenly.
    """
    n_fade = round(FADE_S * rate_hz)
    falling = np.linspace(1.0, 0.0, n_fade, dtype=np.float32)
    for start_s, end_s in spans:
        if end_s <= 0 or start_s * rate_hz >= len(samples):
            continue
        start = 0 if start_s <= 0 else min(round(start_s * rate_hz) - n_fade // 2, len(samples))
        end = len(samples) if end_s * rate_hz >= len(samples) else round(end_s * rate_hz) - n_fade // 2
        if start > 0:
            fade = samples[start : start + n_fade]
            fade *= falling[: len(fade)]
            start += len(fade)
        if end < len(samples):
            fade = samples[end : end + n_fade]
            fade *= 1 - falling[: len(fade)]
        samples[start:end] = 0.0


def _mono(audio: AudioSource, on_progress: OnProgress) -> tuple[NDArray[np.float32], int]:
    """The mean of the channels, and its rate."""
    if audio.rate_hz <= MAX_RATE_HZ:
        return audio.mono(on_progress), audio.rate_hz
    out = np.empty(resampled_length(audio.n_samples, audio.rate_hz, MAX_RATE_HZ), dtype=np.float32)
    resampler = StreamResampler(audio.rate_hz, MAX_RATE_HZ, 1, len(out))
    at = 0
    for block in audio.blocks(on_progress=on_progress):
        ready = resampler.push(block.mean(axis=0, keepdims=True))[0]
        out[at : at + len(ready)] = ready
        at += len(ready)
    out[at:] = resampler.finish()[0]
    return out, MAX_RATE_HZ
