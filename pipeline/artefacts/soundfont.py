"""Notes played with a soundfont, by TinySoundFont (Bernhard Schelling; Python bindings by Nathan Whitehead; both MIT).

It reads .sf2 and .sf3, needs no library of the system, and plays the same notes to the same samples.  It has no reverb
and no chorus.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts.preview import places
from pipeline.artefacts.timbres import RATE_HZ, Samples, loudness
from pipeline.errors import ModelError
from pipeline.midi import midi_velocity
from pipeline.notes import Instrument

BLOCK_SAMPLES = RATE_HZ  # of what is played at once

# One channel for each pitched instrument, as many as there are; the synthesiser knows no limit of sixteen.
_DRUM_CHANNEL = 9
_DRUM_BANK = 128
_PAN = 10  # the controllers of MIDI 1.0
_SOUND_OFF = 120
_PAN_FROM, _PAN_TO = 19, 108  # of the leftmost and the rightmost place
_MAX_VOICES = 256  # at once; more, and the oldest end
_QUIET_SAMPLES = RATE_HZ // 10  # in which the voices that are cut off have ended


class SoundfontPlayer:
    """Plays the notes of instruments with a soundfont.

    Args:
        soundfont: an .sf2 or .sf3 file with the instruments of General MIDI.
        instruments: any number; drums are played on channel 10, with the kit.

    Raises:
        ModelError: the file is no soundfont.
    """

    def __init__(self, soundfont: Path, instruments: Sequence[Instrument]) -> None:
        from tinysoundfont import Synth

        self._synth: Any = Synth(samplerate=RATE_HZ)
        try:
            font = self._synth.sfload(str(soundfont), max_voices=_MAX_VOICES)
        except RuntimeError as error:
            raise ModelError(
                f"{soundfont} is damaged. Delete it, then fetch it again: stemscribe models pull"
            ) from error
        self._channels: list[int] = []
        self._events: list[tuple[int, int, int, int]] = []  # sample, channel, key, velocity (0: the end of a note)
        pitched = 0
        for instrument, place in zip(instruments, places(instruments), strict=True):
            channel = _DRUM_CHANNEL if instrument.is_drum else pitched + (pitched >= _DRUM_CHANNEL)
            pitched += not instrument.is_drum
            bank = _DRUM_BANK if instrument.is_drum else 0
            self._synth.program_select(channel, font, bank, instrument.program, instrument.is_drum)
            self._synth.control_change(channel, _PAN, round(_PAN_FROM + (_PAN_TO - _PAN_FROM) * place / 4))
            self._channels.append(channel)
            self._add_notes(instrument, channel)
        # Of what comes at one sample, ends go first, so that a note that is struck again sounds again.
        self._events.sort(key=lambda event: (event[0], event[3] > 0))

    def play(self, n_samples: int) -> Iterator[Samples]:
        """The first ``n_samples`` of it: float32, shape (2, n), in blocks.  It may be played again, to the end."""
        done = 0
        for start in range(0, n_samples, BLOCK_SAMPLES):
            stop = min(start + BLOCK_SAMPLES, n_samples)
            pieces = []
            at = start
            while done < len(self._events) and self._events[done][0] < stop:
                sample, channel, key, velocity = self._events[done]
                if sample > at:
                    pieces.append(self._generated(sample - at))
                    at = sample
                if velocity:
                    self._synth.noteon(channel, key, velocity)
                else:
                    self._synth.noteoff(channel, key)
                done += 1
            pieces.append(self._generated(stop - at))
            yield np.concatenate(pieces, axis=1)
        for channel in self._channels:
            self._synth.control_change(channel, _SOUND_OFF, 0)
        self._generated(_QUIET_SAMPLES)

    def _add_notes(self, instrument: Instrument, channel: int) -> None:
        for note in instrument.notes:
            start = max(0, round(note.start_s * RATE_HZ))
            end = max(start + 1, round(note.end_s * RATE_HZ))
            # The player makes loudness proportional to the velocity, which is half (in dB) of what players do.
            self._events.append((start, channel, note.pitch, midi_velocity(loudness(note.velocity))))
            self._events.append((end, channel, note.pitch, 0))

    def _generated(self, n_samples: int) -> Samples:
        return np.frombuffer(self._synth.generate(n_samples), dtype=np.float32).reshape(-1, 2).T
