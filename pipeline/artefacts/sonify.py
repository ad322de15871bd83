"""The notes of a song as a WAV file, played with a soundfont or, where there is none, by the plain synthesiser."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.artefacts.limiter import gain, limit
from pipeline.artefacts.preview import BLOCK_S, played
from pipeline.artefacts.soundfont import BLOCK_SAMPLES, SoundfontPlayer
from pipeline.artefacts.timbres import RATE_HZ, Samples
from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.wav import MAX_WAV_BYTES
from pipeline.errors import AudioLimitExceeded
from pipeline.models.soundfonts import Soundfont
from pipeline.notes import Instrument
from pipeline.progress import OnProgress, part, unheard

RING_S = 2.5  # what is played last may go on for so long
_FADE_S = 0.5  # of it, in which it fades away
_CHANNELS = 2
_BITS = 16


@dataclass(frozen=True, slots=True)
class Sonified:
    """A song's notes as audio.

    Attributes:
        path: the WAV file.
        soundfont: name of the soundfont in the catalogue; None where the plain synthesiser played.
        duration_s: its length.
    """

    path: Path
    soundfont: str | None
    duration_s: float


def sonify(
    instruments: Sequence[Instrument],
    duration_s: float,
    path: Path,
    soundfont: Soundfont | None,
    on_progress: OnProgress = unheard,
) -> Sonified:
    """Play notes into a WAV file: stereo, 44.1 kHz, 16 bits.

    It begins with the song and is as long, or longer by as much as is needed for the last notes to ring, at most
    :data:`RING_S`.  Notes start where they are in the song, to the sample; what starts after its end is left out.  The
    loudest moment is at -1.2 dBFS, and nothing is clipped.  Memory does not grow with the song, but a soundfont takes
    its own (FluidR3 Mono 280 MB, TimGM6mb 12 MB), until the file is written.  The same notes always give the same
    bytes.  The file appears when it is complete.

    Args:
        instruments: any number; none gives silence.
        duration_s: length of the song in seconds.
        path: the file, ``.wav``, in an existing folder.
        soundfont: what to play with; None for the plain synthesiser.
        on_progress: told of every block.

    Raises:
        AudioLimitExceeded: the song is longer than a WAV can hold.
        ModelError: the soundfont is damaged.
        OSError: the file cannot be written.
    """
    heard = [_within(instrument, duration_s) for instrument in instruments]
    heard = [instrument for instrument in heard if instrument.notes]
    n_song = round(duration_s * RATE_HZ)
    last_s = max((note.end_s for instrument in heard for note in instrument.notes), default=0.0)
    n_samples = max(n_song, round((last_s + RING_S) * RATE_HZ)) if heard else n_song
    if n_samples * _CHANNELS * _BITS // 8 > MAX_WAV_BYTES:
        raise AudioLimitExceeded(
            f"The song lasts {duration_s:.0f} s, and a WAV file of it would be longer than one may."
        )
    on_progress(0.0)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, "audio.wav")
        with AudioWriter(unfinished, RATE_HZ, _CHANNELS, _BITS) as file:
            for block in _faded(_blocks(heard, n_samples, soundfont, on_progress), n_song, n_samples):
                file.write(quantise(block, _BITS))
        on_progress(1.0)
        unfinished.replace(path)
    return Sonified(path, soundfont.name if soundfont else None, n_samples / RATE_HZ)


def _within(instrument: Instrument, duration_s: float) -> Instrument:
    """The instrument with those notes that start within the song; they end with it at the latest."""
    notes = (note for note in instrument.notes if note.start_s < duration_s)
    return replace(instrument, notes=tuple(replace(note, end_s=min(note.end_s, duration_s)) for note in notes))


def _blocks(
    instruments: Sequence[Instrument], n_samples: int, soundfont: Soundfont | None, on_progress: OnProgress
) -> Iterator[Samples]:
    """The song in order, at its level: float32, shape (2, n)."""
    if not instruments:
        for start in range(0, n_samples, BLOCK_SAMPLES):
            yield np.zeros((_CHANNELS, min(BLOCK_SAMPLES, n_samples - start)), dtype=np.float32)
    elif soundfont is None:
        n_blocks = -(-n_samples // (BLOCK_S * RATE_HZ))
        before = itertools.count()  # it plays the song twice, too
        yield from played(instruments, n_samples, lambda: on_progress(next(before) / (2 * n_blocks)))
    else:
        player = SoundfontPlayer(soundfont.path, instruments)
        # Played once for its loudest sample, and again: the player is deterministic, and a disk may be slower than it.
        first = _told(player.play(n_samples), n_samples, part(on_progress, 0.0, 0.5))
        factor = gain(max(float(np.abs(block).max()) for block in first))
        for block in _told(player.play(n_samples), n_samples, part(on_progress, 0.5, 1.0)):
            block = block * factor
            limit(block)
            yield block


def _told(blocks: Iterator[Samples], n_samples: int, on_progress: OnProgress) -> Iterator[Samples]:
    """The same blocks; before each it is told how much of the song they were."""
    done = 0
    for block in blocks:
        on_progress(done / n_samples)
        done += block.shape[1]
        yield block


def _faded(blocks: Iterator[Samples], n_song: int, n_samples: int) -> Iterator[Samples]:
    """The same sound, faded out before its end where that is after the song's."""
    fade = min(round(_FADE_S * RATE_HZ), n_samples - n_song)
    at = 0
    for block in blocks:
        left = n_samples - at - np.arange(block.shape[1])
        at += block.shape[1]
        yield block if at <= n_samples - fade or not fade else block * np.minimum(left / fade, 1.0).astype(np.float32)
