"""Whether a recording is a song, to be separated before it is written down, or one instrument or voice alone.

A few seconds at the loudest places are separated, and what lands in each stem is weighed.  Of one instrument alone
nearly everything lands in one stem; what a solo leaves in the others is told from players by how loud it is.
To take a song for a solo loses most of its notes, to take a solo for a song costs no more than time: so it is a solo
only where every excerpt is, and the same.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource
from pipeline.progress import OnProgress, part, unheard
from pipeline.separation.overlap_add import OVERLAP
from pipeline.transcription.phantoms import ALLOWED_RATIO, BASS, DRUMS, HIGHEST_HZ, LOWEST_HZ, VOCALS, WINDOW_S
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.silence import FRAME_S, SILENCE_DBFS
from pipeline.transcription.voice_likeness import log_odds, voice_features

if TYPE_CHECKING:  # imports torch
    from pipeline.separation.separator import Separator

OTHER = "other"
FAMILIES = (DRUMS, BASS, OTHER, VOCALS)
N_EXCERPTS = 4
QUIET_DB = -30.0  # an excerpt so far below the loudest one says nothing
_STEP_S = 0.1  # between the places where an excerpt may begin
_SCANNING_SHARE = 0.05  # of the time
_TINY = 1e-12
# Own energy of a stem relative to all, from which it is played and not just leaked into.  In 42 excerpts of solos
# (tests/quality/tune_recognition.py) no more than -22, -43, -29 and -53 dB leaked; in 37 of 38 of several instruments,
# up to 12 dB apart, the second loudest stem had at least -15, -17, -9 and -13 (the other was a bass that htdemucs left
# in `other`).  A solo that is separated only takes longer.
LEAKS_DB = {DRUMS: -20.0, BASS: -26.0, OTHER: -22.0, VOCALS: -26.0}
# Log-odds of a voice below which the vocals stem holds an instrument.  Singers and speakers among those excerpts had
# -2.0 or more, accompanied or not, a dull synthetic hum -3.1, and the three General MIDI solos that htdemucs took for
# vocals -4.4 or less.
UNSUNG = -3.5
# Confidence is a margin put between 0 and 1, not a measured probability.
DIFFERING = 0.5  # where excerpts are solos, but not the same: a song, or one that is hard to tell
WIDTH_DB = 3.0  # how much further from that level makes the odds e times higher


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a recording is.

    Attributes:
        stem: the stem that it is as a whole: ``vocals`` for a voice, sung or hummed, ``bass``, ``drums``, or ``other``
            for any other instrument or several that play pitches; None for a song, to be separated.
        confidence: how clear that is, 0-1; no probability.
    """

    stem: str | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What the separator makes of an excerpt.

    Attributes:
        levels_db: own energy of each of :data:`FAMILIES` relative to all, in dB.
        voice: log-odds that the vocals stem is a voice.
    """

    levels_db: dict[str, float]
    voice: float


@dataclass(frozen=True, slots=True)
class Opinion:
    """Of an excerpt.

    Attributes:
        lead: the family that most of it belongs to.
        margin_db: by how much the others are quieter than what may leak into them; below 0 they are played.
    """

    lead: str
    margin_db: float


def recognise(
    mix: AudioSource,
    separator: "Separator",
    pitch_network: Callable[[], PitchNetwork],
    scratch: Path,
    on_progress: OnProgress = unheard,
) -> Recognised:
    """What a recording is.  At most four segments are separated, one where it is plainly a song.

    Args:
        mix: the recording; silence is a song without confidence.
        separator: may be in use elsewhere; its segments share batches.
        pitch_network: loads the network that follows a voice.
        scratch: existing folder for short temporary files.
        on_progress: told several times a second, but for the time that a segment takes.

    Raises:
        OutOfMemory: the device has too little memory for one segment.
    """
    excerpt_s = int((1 - OVERLAP) * separator.model.segment_samples) / separator.rate_hz  # the most of one segment
    starts = loudest_places(mix, excerpt_s, part(on_progress, 0.0, _SCANNING_SHARE))
    opinions: list[Opinion] = []
    for index, start in enumerate(starts):
        share = (1 - _SCANNING_SHARE) / len(starts)
        begin = _SCANNING_SHARE + index * share
        samples = _excerpt(mix, start, excerpt_s, separator)
        stems = _separated(samples, separator, scratch, part(on_progress, begin, begin + share))
        opinions.append(opinion(heard(stems, separator.rate_hz, pitch_network())))
        if verdict(opinions).stem is None:
            break
    on_progress(1.0)
    return verdict(opinions)


def loudest_places(mix: AudioSource, excerpt_s: float, on_progress: OnProgress = unheard) -> list[int]:
    """First samples of excerpts, the loudest first: one from each of up to four equal parts, none from silence.

    None either where there is too little to hold a note (:data:`pipeline.transcription.silence.FRAME_S`).
    """
    if mix.duration_s < FRAME_S:
        return []
    step = round(_STEP_S * mix.rate_hz)
    powers = []
    for block in mix.blocks(64 * step, on_progress):
        squares = np.square(block, dtype=np.float64).mean(axis=0)
        powers.append(np.add.reduceat(squares, np.arange(0, len(squares), step)) / step)
    power = np.concatenate(powers)
    length = round(excerpt_s / _STEP_S)
    n_parts = int(np.clip(len(power) // length, 1, N_EXCERPTS))
    bounds = np.linspace(0, len(power), n_parts + 1).astype(int)
    places = []
    for first, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        sums = np.convolve(power[first:stop], np.ones(min(length, stop - first)), mode="valid")
        at = int(sums.argmax())
        places.append((float(sums[at]) / min(length, stop - first), (first + at) * step))
    places.sort(reverse=True)
    floor = max(10 ** (SILENCE_DBFS / 10), places[0][0] * 10 ** (QUIET_DB / 10))
    return [start for loudness, start in places if loudness >= floor]


def _excerpt(mix: AudioSource, start: int, excerpt_s: float, separator: "Separator") -> NDArray[np.float32]:
    """Float32, shape (channels, n_samples), at the separator's rate; no more than one segment of it."""
    samples = mix.read(start, round(excerpt_s * mix.rate_hz))
    heard = np.asarray(soxr.resample(samples.T, mix.rate_hz, separator.rate_hz, quality="HQ"), dtype=np.float32)
    return heard[: int(excerpt_s * separator.rate_hz)].T


def _separated(
    samples: NDArray[np.float32], separator: "Separator", scratch: Path, on_progress: OnProgress
) -> dict[str, NDArray[np.float32]]:
    """The stems of an excerpt by family, float32 mono."""
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="excerpt-", suffix=".f32") as file:
        file.write(np.ascontiguousarray(samples.T, dtype="<f4").data)
        file.flush()
        source = AudioSource(Path(file.name), separator.rate_hz, *samples.shape)
        estimates = np.concatenate(list(separator.stream(source, on_progress)), axis=2).mean(axis=1)
    families = {name: np.zeros(samples.shape[1], dtype=np.float32) for name in FAMILIES}
    for name, estimate in zip(separator.stems, estimates, strict=True):
        families[name if name in families else OTHER] += estimate  # guitar, piano: what is in other elsewhere
    return families


def heard(stems: dict[str, NDArray[np.float32]], rate_hz: int, network: PitchNetwork) -> Heard:
    """What is in an excerpt; ``stems`` by family, float32, shape (n_samples,)."""
    energies = own_energies(np.stack(list(stems.values())), rate_hz)
    levels_db = 10 * np.log10(energies / max(energies.sum(), _TINY) + _TINY)
    window_s = np.array([[0.0, len(stems[VOCALS]) / rate_hz]])
    voice = float(log_odds(voice_features(stems[VOCALS], rate_hz, window_s, network))[0])
    return Heard(dict(zip(stems, levels_db.tolist(), strict=True)), voice)


def opinion(heard: Heard) -> Opinion:
    """What an excerpt seems to be."""
    levels_db = dict(heard.levels_db)
    if heard.voice < UNSUNG:  # a solo instrument in a voice's range
        levels_db[OTHER] = float(10 * np.log10(sum(10 ** (levels_db.pop(name) / 10) for name in (OTHER, VOCALS))))
    lead = max(levels_db, key=lambda name: levels_db[name])
    margin_db = min(LEAKS_DB[name] - level_db for name, level_db in levels_db.items() if name != lead)
    return Opinion(lead, margin_db)


def own_energies(stems: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Energy of each stem's own cells of the spectrogram, as in :mod:`pipeline.transcription.phantoms`: (n_stems,).

    ``stems`` has the shape (n_stems, n_samples).  Energies rise by 3 dB per octave.
    """
    window = 1 << round(np.log2(WINDOW_S * rate_hz))
    padded = np.pad(stems, ((0, 0), (0, window)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, :: window // 2]
    bins_hz = np.arange(window // 2 + 1) * rate_hz / window
    heard = (bins_hz >= LOWEST_HZ) & (bins_hz <= HIGHEST_HZ)
    spectra = scipy.fft.rfft(frames * scipy.signal.get_window("hann", window).astype(np.float32), axis=2)[..., heard]
    powers = (spectra.real**2 + spectra.imag**2) * (bins_hz[heard] / 1000)
    own = powers * (powers * ALLOWED_RATIO >= powers.max(axis=0))
    return np.asarray(own.sum(axis=(1, 2), dtype=np.float64))


def verdict(opinions: Sequence[Opinion]) -> Recognised:
    """What a recording is by its excerpts: a song if any of them is, or if they are not all the same.

    But an instrument that plays low for a while may be a bass there.
    """
    if not opinions:
        return Recognised(None, 0.0)
    leads = {opinion.lead for opinion in opinions}
    if len(leads) > 1 and leads != {BASS, OTHER}:
        return Recognised(None, DIFFERING)
    margin_db = min(opinion.margin_db for opinion in opinions)
    sure = float(1 / (1 + np.exp(-abs(margin_db) / WIDTH_DB)))
    if margin_db < 0:
        return Recognised(None, sure)
    return Recognised(OTHER if OTHER in leads else leads.pop(), sure)
