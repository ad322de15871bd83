"""Instruments of one recording each, played slower and faster, as trackers and small samplers do it.

Formants move with the pitch, treble folds over, loops are short, ends are cut: no other source sounds like that, and
every recording of another source becomes a new instrument by it.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import soxr

from pipeline.training.sounds.base import RATE_HZ, Performance, Played, Sound
from pipeline.training.sounds.oscillators import Audio, fade, samples_of
from pipeline.training.sounds.sampler import OUT_OF_TUNE_CENTS, Recording
from pipeline.training.sounds.synthesis import add_at, heard
from pipeline.training.sounds.timbres import between
from pipeline.training.sounds.tuning import check_tuning, pitch_error_cents
from pipeline.transcription.spectrum import FIRST_PITCH, N_PITCHES

_REACH = 17  # semitones up and down
_BEYOND = 5  # semitones that the source itself does not play
_BEFORE_S = 0.1  # of a recording, for an attack that begins before it is heard
_LOOP_S = (0.05, 0.6)  # shorter ones would be out of tune by more than two cents
_COMPARED_S = 0.02
_AWAY_CENTS = 20.0  # from its source
_LOOPS_HEARD_S = 0.5
_LEAST_LIKENESS = 0.7  # of a loop's two ends; 1: the same; 3 dB louder and otherwise the same: 0.71
_LOOPED_SHARE = {True: 0.85, False: 0.25}  # of instruments that are held, of others


class TrackedSound:
    """One recording of a source, with a loop or without; everything is drawn from the seed."""

    def __init__(self, source: Sound, seed: int) -> None:
        rng = np.random.default_rng(seed)
        low, high = source.keys
        quarter = (high - low) // 4
        self.source, self._seed = source, seed
        self._root = int(rng.integers(low + quarter, high - quarter + 1))
        self._strength = int(rng.integers(60, 116))
        self._length_s = between(rng, 0.5, 4.0)
        self._looped = bool(rng.random() < _LOOPED_SHARE[source.held])
        self._rate_hz = round(between(rng, 8_000, RATE_HZ))
        self._levels = int(rng.choice([2**7, 2**15]))
        self._smooth = bool(rng.random() < 0.6)
        self._release_s = float(rng.choice([0.003, between(rng, 0.02, 0.1), between(rng, 0.1, 0.6)]))
        self._touch = float(rng.uniform(0.7, 2.0))
        self.name = f"tracked:{source.name}:{seed}"
        self.family = source.family
        first, last = max(low - _BEYOND, self._root - _REACH), min(high + _BEYOND, self._root + _REACH)
        self.keys = max(first, FIRST_PITCH), min(last, FIRST_PITCH + N_PITCHES - 1)

    @property
    def held(self) -> bool:
        """Whether it sounds for as long as a key is held: of a held instrument, and with a loop."""
        return self.source.held and self._recording.loop is not None

    def in_tune(self, source_cents: float) -> bool:
        """Whether its recording and its loop have the pitch of its source.

        Args:
            source_cents: how far the source's own pitch is from its keys; NaN if it has none.
        """
        if np.isnan(source_cents):
            return bool(np.isnan(check_tuning(self)))
        heard_cents = [check_tuning(self)]
        if (loop := self._recording.loop) is not None:
            turns = np.resize(self._recording.samples[slice(*loop)], round(_LOOPS_HEARD_S * self._rate_hz))
            tone = soxr.resample(turns, self._rate_hz, RATE_HZ, quality="HQ")
            heard_cents.append(pitch_error_cents(tone, 440 * 2 ** ((self._root - 69) / 12)))
        return all(abs(cents - source_cents) <= _AWAY_CENTS for cents in heard_cents)

    @cached_property
    def _recording(self) -> Recording:
        """The source's one note, from its audible onset on."""
        rng = np.random.default_rng((self._seed, 1))
        note = Played(_BEFORE_S, _BEFORE_S + self._length_s, self._root, self._strength)
        samples = self.source.play([note], note.end_s, rng).samples
        samples = soxr.resample(samples, RATE_HZ, self._rate_hz, quality="HQ")[round(_BEFORE_S * self._rate_hz) :]
        peak = max(float(np.abs(samples).max()), 1e-6)
        coarse = np.round(samples / peak * (self._levels - 1)) / (self._levels - 1)
        loop = _loop(coarse, self._rate_hz, rng) if self._looped else None
        return Recording(coarse.astype(np.float32), self._rate_hz, loop)

    def play(self, notes: Sequence[Played], length_s: float, rng: np.random.Generator) -> Performance:
        """See :class:`pipeline.training.sounds.base.Sound`."""
        out = np.zeros(samples_of(length_s), dtype=np.float32)
        ends = []
        for note in notes:
            tone, onset, end = self._sounded(note)
            add_at(out, tone, round(note.start_s * RATE_HZ) - onset)
            ends.append(min(note.end_s, note.start_s + (end - onset) / RATE_HZ))
        return Performance(out, tuple(ends))

    def _sounded(self, note: Played) -> tuple[Audio, int, int]:
        """One note: its samples, and where it is heard to begin and to end."""
        ratio = 2 ** ((note.pitch - self._root) / 12)
        held_s = max(note.end_s - note.start_s, 0.03)
        # What comes before the onset must not shorten the note
        source = self._recording.lasting((held_s + self._release_s + _BEFORE_S) * ratio)
        at = np.arange(samples_of(held_s + self._release_s + _BEFORE_S)) * (ratio * self._rate_hz / RATE_HZ)
        at = at[at < len(source) - 1]
        tone = np.interp(at, np.arange(len(source)), source) if self._smooth else source[at.astype(np.int64)]
        onset, _ = heard(np.abs(tone))
        stop, tail = onset + samples_of(held_s), samples_of(self._release_s)
        tone = tone[: stop + tail].astype(np.float32) * np.float32((note.velocity / 127) ** self._touch)
        if tone.size > stop:
            tone[stop:] *= fade(tail)[: tone.size - stop]
        return tone, onset, heard(np.abs(tone))[1]


def _loop(samples: Audio, rate_hz: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """A loop to the end of the recording, from where the wave is most like what it ends with; None for a short one."""
    width = round(_COMPARED_S * rate_hz)
    shortest, longest = (round(bound * rate_hz) for bound in _LOOP_S)
    longest = min(round(between(rng, 2 * shortest, longest)), samples.size - 2 * width)
    if longest <= shortest:
        return None
    end = samples.size
    ending = samples[end - width :]
    before = np.lib.stride_tricks.sliding_window_view(samples[end - width - longest : end - shortest], width)
    likeness = before @ ending / np.maximum((before**2).sum(axis=1), (ending**2).sum() + 1e-9)
    best = int(np.argmax(likeness))
    return (end - longest + best, end) if likeness[best] >= _LEAST_LIKENESS else None


def tracked_sounds(sources: Sequence[Sound], rng: np.random.Generator, count: int) -> list[Sound]:
    """Recordings of these sounds, drawn at random: so many, less those that are out of tune, or whose source is."""
    drawn = [TrackedSound(sources[int(rng.integers(len(sources)))], int(rng.integers(2**31))) for _ in range(count)]
    cents: dict[str, float] = {}
    kept: list[Sound] = []
    for sound in drawn:
        name = sound.source.name
        if name not in cents:
            cents[name] = check_tuning(sound.source)
        # An organ's lowest stop may be its pitch
        stops = (0, -1200, -2400) if sound.family == "organ" else (0,)
        far = min(abs(cents[name] - stop) for stop in stops) > OUT_OF_TUNE_CENTS
        if not far and sound.in_tune(cents[name]):
            kept.append(sound)
    return kept
