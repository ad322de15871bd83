"""Where in a song each stem is really played: a separator returns every stem of every song.

What leaks into a stem from the others is a faint copy of them: wherever some of it is, another stem has far more.  So
of each stem only what is *its own* counts, the energy of those cells of its spectrogram in which no other stem is much
stronger, and it is played where that is not far below the loudness of the song.  Vocals must also be sung,
where something accompanies them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from pipeline.audio.source import AudioSource
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.pitch_track import PitchNetwork
from pipeline.transcription.voice_likeness import log_odds, voice_features

WINDOW_S = 0.093  # 4096 samples at 44.1 kHz, half of which a frame moves on: neighbouring partials keep apart
LOWEST_HZ, HIGHEST_HZ = 40.0, 11_000.0
FRAMES_PER_UNIT = 22  # presence is decided by the second
# A cell is not a stem's own where another is louder by more than this.  Without the allowance two stems that hold the
# same would hide each other.
ALLOWED_RATIO = 4.0
# Own energy of a second, relative to the loudness.  In 12 separated songs (tests/quality/tune_phantoms.py), three
# in four seconds have -21 dB or more where the stem is played, and -69 dB or less where it is not there; the loudest
# leak, at the start of a song, -41.  A singer 18 dB below the band has -34 to -6 dB.
SEED_DB = -40.0
FLOOR_DB = -55.0
# Own, of a stretch's energy: .71 or more where a stem is played, .35 in the one leak that came above the seed's level.
LEAST_PURITY = 0.5
PAUSE_UNITS = 2
MARGIN_UNITS = 1
VOICE_UNITS = 8  # notes enough to hear whether they are in tune
# Mean log-odds of 24 s.  Singers and speakers whom the fit did not know have -0.4 (18 dB below the band) to 13, General
# MIDI solos -3.4 (half of them) and four in five below -1.5, solos that htdemucs took for vocals -3.6.  Rather a
# saxophone among the singers than a singer lost.
LEAST_LOG_ODDS = -1.5
_VOICE_SHARE = 0.6  # of the time, where there is a voice to follow
_UNITS_PER_BLOCK = 8  # bounds memory: 1.5 MB of spectrogram a stem
_TINY = 1e-12
DRUMS, BASS, VOCALS = "drums", "bass", "vocals"

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Presence:
    """Where one stem is played.

    Attributes:
        spans: stretches (start, end) in seconds, in order and apart; the last may end after the audio.
        purity: how much of the stem's energy in these stretches is its own, 0-1.
        home: the stem that most resembles what this one holds outside them; None where there is none.
    """

    spans: Spans
    purity: float
    home: str | None = None


EVERYWHERE = Presence(((0.0, np.inf),), 1.0)


def presences(
    stems: Mapping[str, AudioSource], pitch_network: Callable[[], PitchNetwork], on_progress: OnProgress = unheard
) -> dict[str, Presence]:
    """Where each stem of a song is played, by its name.

    Args:
        stems: all stems of the song.  One alone, empty ones and stems that are not of one rate and length are taken to
            be played throughout: there is nothing to compare them with.
        pitch_network: loads the network that follows a voice; called where vocals are played.
        on_progress: told of every few seconds of the audio.
    """
    shapes = {(source.rate_hz, source.n_samples) for source in stems.values()}
    if len(stems) < 2 or len(shapes) > 1 or not all(n_samples for _, n_samples in shapes):
        on_progress(1.0)
        return dict.fromkeys(stems, EVERYWHERE)
    names = tuple(stems)
    own, whole, likeness, unit_s = _measured(tuple(stems.values()), part(on_progress, 0.0, 1 - _VOICE_SHARE))
    loudness = whole.sum(axis=0)
    reference = (loudness**2).sum() / max(loudness.sum(), _TINY)  # of the loud parts: pauses do not count
    played = [_played(mine, all_of_it, reference) for mine, all_of_it in zip(own, whole, strict=True)]
    # A solo is taken out of an accompaniment.  Where there is none, it is the song, sung or not.
    accompanied = any(row.any() for name, row in zip(names, played, strict=True) if name not in (DRUMS, BASS, VOCALS))
    if accompanied and VOCALS in names and played[names.index(VOCALS)].any():
        following = part(on_progress, 1 - _VOICE_SHARE, 1.0)
        played[names.index(VOCALS)] &= _sung(
            stems[VOCALS], played[names.index(VOCALS)], unit_s, pitch_network(), following
        )
    on_progress(1.0)
    return {
        name: Presence(
            _spans(played[i], unit_s),
            float((own[i] * played[i]).sum() / max((whole[i] * played[i]).sum(), _TINY)),
            _home(i, names, played, likeness),
        )
        for i, name in enumerate(names)
    }


def _measured(
    sources: tuple[AudioSource, ...], on_progress: OnProgress
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Own and whole energy, both (n_stems, n_units); likeness (n_stems, n_stems, n_units); seconds per unit.

    Energies rise by 3 dB per octave, as hearing roughly does: else bass and drums are all there is.
    """
    rate_hz, n_samples = sources[0].rate_hz, sources[0].n_samples
    window = 1 << round(np.log2(WINDOW_S * rate_hz))
    hop = window // 2
    unit_samples = FRAMES_PER_UNIT * hop
    n_units = -(-n_samples // unit_samples)
    bins_hz = np.arange(hop + 1) * rate_hz / window
    heard = np.flatnonzero((bins_hz >= LOWEST_HZ) & (bins_hz <= HIGHEST_HZ))
    low, high = int(heard[0]), int(heard[-1]) + 1
    slope = (bins_hz[low:high] / 1000).astype(np.float32)
    taper = (scipy.signal.get_window("hann", window) * (2 / window)).astype(np.float32)
    own, whole = np.zeros((2, len(sources), n_units))
    likeness = np.zeros((len(sources), len(sources), n_units))
    for first in range(0, n_units, _UNITS_PER_BLOCK):
        on_progress(first / n_units)
        count = min(_UNITS_PER_BLOCK, n_units - first)
        powers = np.empty((len(sources), count * FRAMES_PER_UNIT, high - low), dtype=np.float32)
        for row, source in zip(powers, sources, strict=True):
            read = source.read(first * unit_samples, count * unit_samples + hop).mean(axis=0)
            read = np.pad(read, (0, count * unit_samples + hop - len(read)))
            frames = np.lib.stride_tricks.sliding_window_view(read, window)[::hop]
            spectra = scipy.fft.rfft(frames * taper, axis=1)[:, low:high]
            np.multiply(spectra.real**2 + spectra.imag**2, slope, out=row)
        strongest = powers.max(axis=0)
        for i, row in enumerate(powers):
            is_own = row * ALLOWED_RATIO >= strongest
            own[i, first : first + count] = (row * is_own).reshape(count, -1).sum(axis=1)
            whole[i, first : first + count] = row.reshape(count, -1).sum(axis=1)
        magnitudes = np.sqrt(powers).reshape(len(sources), count, -1)
        likeness[:, :, first : first + count] = np.einsum("iuf,juf->iju", magnitudes, magnitudes, optimize=True)
    on_progress(1.0)
    return own, whole, likeness, unit_samples / rate_hz


def _played(own: NDArray[np.float64], whole: NDArray[np.float64], reference: float) -> NDArray[np.bool_]:
    """Units (n_units,) in which a stem is played.

    Where its own energy reaches the seed's level, on for as long as that stays above the floor, unless most of the
    energy there is not its own; over short pauses; and a little further both ways.
    """
    level_db = 10 * np.log10(own / max(reference, _TINY) + _TINY)
    runs, n_runs = scipy.ndimage.label(level_db >= FLOOR_DB)
    numbers = np.arange(1, n_runs + 1)
    loudest_db, mine, all_of_it = (
        np.asarray(measure(values, runs, numbers))
        for measure, values in (
            (scipy.ndimage.maximum, level_db),
            (scipy.ndimage.sum_labels, own),
            (scipy.ndimage.sum_labels, whole),
        )
    )
    kept = np.isin(runs, numbers[(loudest_db >= SEED_DB) & (mine >= LEAST_PURITY * all_of_it)])
    bridged = scipy.ndimage.binary_closing(np.pad(kept, PAUSE_UNITS), np.ones(PAUSE_UNITS + 1))[
        PAUSE_UNITS:-PAUSE_UNITS
    ]
    return np.asarray(scipy.ndimage.binary_dilation(bridged, np.ones(2 * MARGIN_UNITS + 1)), dtype=np.bool_)


def _sung(
    vocals: AudioSource,
    played: NDArray[np.bool_],
    unit_s: float,
    network: PitchNetwork,
    on_progress: OnProgress,
) -> NDArray[np.bool_]:
    """Units (n_units,) near which there may be a singer: with its neighbours, a window is not plainly an instrument."""
    starts = np.arange(0, len(played), VOICE_UNITS)
    ends = np.minimum(starts + VOICE_UNITS, len(played))
    heard = np.logical_or.reduceat(played, starts)
    windows_s = np.column_stack([starts, ends])[heard] * unit_s
    samples = vocals.mono(part(on_progress, 0.0, 0.1))
    odds = np.zeros(len(starts))
    odds[heard] = log_odds(voice_features(samples, vocals.rate_hz, windows_s, network, part(on_progress, 0.1, 1.0)))
    total, count = (scipy.ndimage.convolve1d(row, np.ones(3), mode="constant") for row in (odds, heard.astype(float)))
    mean = total / np.maximum(count, 1)
    return np.repeat(mean >= LEAST_LOG_ODDS, ends - starts)


def _spans(played: NDArray[np.bool_], unit_s: float) -> Spans:
    edges = np.flatnonzero(np.diff(np.pad(played.astype(np.int8), 1)))
    return tuple((start * unit_s, end * unit_s) for start, end in edges.reshape(-1, 2).tolist())


def _home(
    stem: int, names: tuple[str, ...], played: list[NDArray[np.bool_]], likeness: NDArray[np.float64]
) -> str | None:
    """The stem that is played where this one is not and is most like it there (cosine of the magnitudes).

    Never the drums: what they lose to others is too faint to make up a stroke.
    """
    elsewhere = ~played[stem]
    own_size = likeness[stem, stem][elsewhere].sum()
    alike = [
        0.0
        if other == stem or names[other] == DRUMS or not (elsewhere & played[other]).any()
        else likeness[stem, other][elsewhere].sum()
        / np.sqrt(own_size * likeness[other, other][elsewhere].sum() + _TINY)
        for other in range(len(names))
    ]
    best = int(np.argmax(alike))
    return names[best] if alike[best] > 0 else None
