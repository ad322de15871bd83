"""The notes played, so that a transcription can be heard without a DAW.

The sounds are those of a plain synthesiser (:mod:`pipeline.artefacts.timbres`), not of a soundfont.
"""

import bisect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lameenc
import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts.drum_sounds import drum_sound, pan_of
from pipeline.artefacts.limiter import gain, limit
from pipeline.artefacts.timbres import RATE_HZ, Samples, Tones, loudness, timbre_of
from pipeline.notes import Instrument, Note

MAX_DURATION_S = 3600.0  # stray times cannot make a file without end
SILENCE_S = 10.0  # a song without notes need not be encoded for as long as it lasts
BIT_RATE_KBPS = 128
# LAME's fast mode: 180 s encode in 1.0 s on a core where libsndfile, which leaves the quality at LAME's default, takes
# 4 to 7.
ENCODER_QUALITY = 7
# Decoders give the first sample this late (LAME's delay of 576 and the decoder's own 529), so as much is left out of
# the beginning: what starts in the first 25 ms loses its attack.
ENCODER_DELAY = 1105
FADE_IN = 128  # samples; what starts within the part left out must not click

# A block must be as long as the longest sound that can start in it, so that a sound ends in the next block at the
# latest; and memory is two blocks of each bus, 28 MB.
BLOCK_S = 16
LONGEST_SOUND_S = 15.0  # release and the longest drum included
_LONGEST_NOTE_S = LONGEST_SOUND_S - 0.5
_BLOCK = BLOCK_S * RATE_HZ

# Notes are mixed into five places from left to right, and those into two channels (constant power).
_PLACES = 5
_CENTRE = 2
_ANGLES = np.linspace(0.15, 0.85, _PLACES) * np.pi / 2
_PANNING = np.array([np.cos(_ANGLES), np.sin(_ANGLES)], dtype=np.float32)  # shape (2, places)
_BASS_PROGRAMS = range(32, 40)
_KEYBOARDS = range(0, 24)
_AROUND = (3, 1, 4, 0)  # where instruments sit, in turn; bass and voices stay in the centre
_VOICES = range(52, 55)


def write_preview(
    instruments: Sequence[Instrument], duration_s: float, path: Path, on_block: Callable[[], None] = lambda: None
) -> None:
    """Play the notes into an MP3 file: stereo, 44.1 kHz, 128 kbit/s.

    It is as long as the song (at most an hour), and its notes are where they are in the song, to the sample.  A song
    without notes gives ten seconds of silence at most.  Memory does not grow with the song.  The same notes always give
    the same bytes.

    Args:
        instruments: any number.
        duration_s: length of the song in seconds.
        path: file to write.
        on_block: called before every sixteen seconds of music, which are played twice; an exception raised by it stops
            the work.

    Raises:
        OSError: the file cannot be written.
    """
    longest_s = MAX_DURATION_S if any(instrument.notes for instrument in instruments) else SILENCE_S
    n_samples = round(min(max(duration_s, 0.1), longest_s) * RATE_HZ)
    encoder = lameenc.Encoder()
    encoder.set_bit_rate(BIT_RATE_KBPS)
    encoder.set_in_sample_rate(RATE_HZ)
    encoder.set_channels(2)
    encoder.set_quality(ENCODER_QUALITY)
    encoder.silence()  # it prints what it does otherwise
    with path.open("wb") as file:
        for block in _blocks(instruments, n_samples, on_block):
            file.write(encoder.encode(block.tobytes()))
        file.write(encoder.flush())


def played(
    instruments: Sequence[Instrument], n_samples: int, on_block: Callable[[], None] = lambda: None
) -> Iterator[Samples]:
    """The song in order, at its level: float32, shape (2, n), in blocks of sixteen seconds.

    It is played twice, first for its loudest sample, which is a seventh of the work; ``on_block`` is called before
    every block of either.
    """
    loudest = max(float(np.abs(stereo).max()) for stereo in _mixed(instruments, n_samples, on_block))
    factor = gain(loudest)
    for start, stereo in zip(range(0, n_samples, _BLOCK), _mixed(instruments, n_samples, on_block), strict=True):
        stereo *= factor
        limit(stereo)
        yield stereo[:, : n_samples - start]


def _mixed(instruments: Sequence[Instrument], n_samples: int, on_block: Callable[[], None]) -> Iterator[Samples]:
    """The song in order, as loud as it comes: float32, shape (2, block)."""
    player = _Player(instruments)
    for start in range(0, n_samples, _BLOCK):
        on_block()
        yield _PANNING @ player.block(start)


def _blocks(
    instruments: Sequence[Instrument], n_samples: int, on_block: Callable[[], None]
) -> Iterator[NDArray[np.int16]]:
    """As :func:`played`, for the encoder: int16, shape (n, 2)."""
    for index, stereo in enumerate(played(instruments, n_samples, on_block)):
        if index == 0:
            stereo = stereo[:, ENCODER_DELAY:]
            faded = stereo[:, :FADE_IN]
            faded *= np.linspace(0, 1, faded.shape[1], dtype=np.float32)
        yield np.rint(stereo.T * 32767).astype(np.int16)


class _Player:
    """Mixes the notes into the places, block by block."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._tones = Tones()
        self._mix = np.zeros((_PLACES, 2 * _BLOCK), dtype=np.float32)
        self._parts = [
            (instrument, place, [note.start_s for note in instrument.notes])
            for instrument, place in zip(instruments, places(instruments), strict=True)
        ]

    def block(self, start: int) -> Samples:
        """The block that begins at sample ``start``: float32, shape (places, block).  Call in order; it is reused."""
        mix = self._mix
        if start:
            mix[:, :_BLOCK] = mix[:, _BLOCK:]
            mix[:, _BLOCK:] = 0
        for instrument, place, onsets in self._parts:
            first = bisect.bisect_left(onsets, start / RATE_HZ)
            last = bisect.bisect_left(onsets, (start + _BLOCK) / RATE_HZ)
            for index in range(first, last):
                note = instrument.notes[index]
                sound, row = (
                    self._drum(instrument, index) if instrument.is_drum else self._tone(instrument, note, place)
                )
                at = min(max(round(note.start_s * RATE_HZ) - start, 0), _BLOCK - 1)
                mix[row, at : at + len(sound)] += sound
        return mix[:, :_BLOCK]

    def _tone(self, instrument: Instrument, note: Note, place: int) -> tuple[Samples, int]:
        length_s = min(note.end_s - note.start_s, _LONGEST_NOTE_S)
        row = place + (note.pitch > 64) - (note.pitch < 52) if instrument.program in _KEYBOARDS else place
        timbre = timbre_of(instrument.program)
        return self._tones.note(timbre, note.pitch, length_s, note.velocity), min(max(row, 0), _PLACES - 1)

    def _drum(self, instrument: Instrument, index: int) -> tuple[Samples, int]:
        note = instrument.notes[index]
        return drum_sound(note.pitch) * np.float32(loudness(note.velocity)), _CENTRE + pan_of(note.pitch)


def places(instruments: Sequence[Instrument]) -> list[int]:
    """Where each sits, from 0 (left) to 4 (right)."""
    found = []
    turn = 0
    for instrument in instruments:
        central = instrument.is_drum or instrument.program in _BASS_PROGRAMS or instrument.program in _VOICES
        found.append(_CENTRE if central else _AROUND[turn % len(_AROUND)])
        turn += not central
    return found
