"""Plays recordings of single notes at the pitches between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipeline.training.sounds.base import RATE_HZ, Performance, Played
from pipeline.training.sounds.oscillators import Audio, fade, samples_of
from pipeline.training.sounds.sfz import Region
from pipeline.training.sounds.synthesis import add_at, heard
from pipeline.training.sounds.tuning import pitch_error_cents

# Recordings are read no further: notes are rarely longer, and what loops goes on.
_LONGEST_S = 10.0
# A recording further off than this is wrongly mapped.
OUT_OF_TUNE_CENTS = 35.0
# How far a recording is shifted beyond what its library says.
_REACH = 5
_RECORDINGS_KEPT = 48
_TOP_PITCH_HZ = 2_500.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A file's samples: mono, its own rate, from its audible onset on; its loop, if it has one."""

    samples: Audio
    rate_hz: int
    loop: tuple[int, int] | None

    def lasting(self, duration_s: float) -> Audio:
        """The beginning, made as long as asked by going round the loop, or as long as there is."""
        count = int(duration_s * self.rate_hz) + 64
        if count <= self.samples.size or self.loop is None:
            return self.samples[:count]
        start, end = self.loop
        turns = -(-(count - end) // (end - start))
        return np.concatenate([self.samples[:end], np.tile(self.samples[start:end], turns)])[:count]


@lru_cache(maxsize=_RECORDINGS_KEPT)
def recording_of(region: Region) -> Recording:
    """Read a region's file.

    Raises :class:`soundfile.LibsndfileError` for what is no audio.
    """
    with soundfile.SoundFile(region.sample) as file:
        rate_hz = int(file.samplerate)
        file.seek(min(region.offset, file.frames))
        samples = file.read(int(_LONGEST_S * rate_hz), dtype="float32", always_2d=True).mean(axis=1)
    loop = region.loop
    if loop is None and region.loops:
        loop = _own_loop(region.sample)
    if loop is not None:
        loop = (loop[0] - region.offset, loop[1] + 1 - region.offset)
        if not 0 <= loop[0] < loop[1] - 16 or loop[1] > samples.size:
            loop = None
    if samples.size == 0:
        samples = np.zeros(64, dtype=np.float32)
    return Recording(samples, rate_hz, loop)


def _own_loop(path: Path) -> tuple[int, int] | None:
    """The first loop of a WAV file's ``smpl`` chunk."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return None
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"smpl":
                chunk = file.read(size)
                if len(chunk) < 60 or int.from_bytes(chunk[28:32], "little") == 0:
                    return None
                return int.from_bytes(chunk[44:48], "little"), int.from_bytes(chunk[48:52], "little")
            file.seek(size + size % 2, 1)
    return None


@lru_cache(maxsize=65_536)
def in_tune(region: Region) -> bool:
    """Whether the recording's pitch is what the library says; taken for granted above what the rate resolves."""
    recording = recording_of(region)
    # Half a second from a little after the onset, at the common rate.
    tone = soxr.resample(recording.samples[: recording.rate_hz * 3], recording.rate_hz, RATE_HZ, quality="LQ")
    onset, _ = heard(np.abs(tone))
    hz = 440 * 2 ** ((region.root - 69) / 12)
    part = tone[onset + samples_of(0.1) : onset + samples_of(0.5)]
    if part.size < samples_of(0.1) or hz > _TOP_PITCH_HZ:
        return True
    return abs(pitch_error_cents(part, hz)) <= OUT_OF_TUNE_CENTS


@dataclass(frozen=True)
class SampledSound:
    """An instrument of recordings.  Regions that are out of tune are passed over."""

    name: str
    family: str
    held: bool
    regions: tuple[Region, ...] = field(repr=False)

    @property
    def keys(self) -> tuple[int, int]:
        """From a little below the lowest recording to a little above the highest."""
        low = max(min(region.keys[0] for region in self.regions), round(min(r.root for r in self.regions)) - _REACH)
        high = min(max(region.keys[1] for region in self.regions), round(max(r.root for r in self.regions)) + _REACH)
        return max(0, min(low, high)), min(127, max(low, high))

    def region_for(self, pitch: int, velocity: int) -> Region:
        """The one that fits best: keys first, then velocity, then the distance of its own pitch."""

        def misfit(region: Region) -> tuple[int, int, float]:
            keys = max(region.keys[0] - pitch, pitch - region.keys[1], 0)
            touch = max(region.velocities[0] - velocity, velocity - region.velocities[1], 0)
            return keys, touch, abs(region.root - pitch)

        ranked = sorted(self.regions, key=misfit)
        return next((region for region in ranked[:8] if in_tune(region)), ranked[0])

    def play(self, notes: Sequence[Played], length_s: float, rng: np.random.Generator) -> Performance:
        """See :class:`pipeline.training.sounds.base.Sound`."""
        out = np.zeros(samples_of(length_s), dtype=np.float32)
        ends = []
        for note in notes:
            region = self.region_for(note.pitch, note.velocity)
            tone, onset, end = sounded(region, note)
            add_at(out, tone, round(note.start_s * RATE_HZ) - onset)
            ends.append(min(note.end_s, note.start_s + (end - onset) / RATE_HZ))
        return Performance(out, tuple(ends))


def sounded(region: Region, note: Played) -> tuple[NDArray[np.float32], int, int]:
    """One note: its samples, and where it is heard to begin and to end."""
    recording = recording_of(region)
    ratio = 2 ** ((note.pitch - region.root) / 12)
    held_s = max(note.end_s - note.start_s, 0.03)
    # What comes before the onset must not shorten the note: half a second is more than libraries leave there.
    wanted_s = (held_s + region.release_s + 0.5) * ratio
    tone = soxr.resample(recording.lasting(wanted_s), recording.rate_hz * ratio, RATE_HZ, quality="LQ")
    onset, _ = heard(np.abs(tone))
    stop, tail = onset + samples_of(held_s), samples_of(region.release_s)
    tone = tone[: stop + tail].astype(np.float32)
    if tone.size > stop:
        tone[stop:] *= fade(tail)[: tone.size - stop]
    tone *= np.float32(10 ** ((region.volume_db + 40 * np.log10(note.velocity / 127) * region.veltrack) / 20))
    return tone, onset, heard(np.abs(tone))[1]
