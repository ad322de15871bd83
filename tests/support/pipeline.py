"""A pipeline with the real one's signatures and none of its models, for tests of the service around it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.analysis.beats import Beats
from pipeline.analysis.key import Key, KeySpan
from pipeline.analysis.tempo_and_key import TempoAndKey
from pipeline.artefacts.sonify import Sonified
from pipeline.audio.subtract import Rest
from pipeline.audio.wav import WavFile
from pipeline.errors import CorruptAudio, ModelError
from pipeline.notes import Instrument, Note
from pipeline.recognition import Recognised
from pipeline.song import Report
from pipeline.song_notes import HeardSong, SongNotes, write_song_notes
from pipeline.transcription.choices import AUTO

RATE_HZ = 8000
STEMS = ("drums", "bass", "other", "vocals")
BEATS = Beats(
    times_s=np.array([0.0, 0.5, 1.0]),
    downbeats=np.array([0]),
    beats_per_bar=4,
    time_signature=(4, 4),
    bpm=120.0,
    confidence=0.9,
    downbeat_confidence=0.8,
    steady=True,
)
KEYBOARD = ("Electric Piano 1", 4)
PLAYERS: dict[str, tuple[tuple[str, int], ...]] = {"drums": (("Drums", 4),)}
"""Name and program of those that play a stem; a keyboard where none is named."""
KEYS = (KeySpan(0.0, 1.0, Key.on(9, minor=True), 0.75),)


@dataclass(frozen=True, slots=True)
class FakeStem:
    """Has what the service reads of a stem file."""

    name: str
    path: Path
    duration_s: float


@dataclass
class FakePipeline:
    """Writes short real files at once.

    Attributes:
        during: called in the middle of every job with what it reports to; tests hook in here.
        calls: names of the stages that were run.
        recognised: what every recording is taken for.
    """

    during: Callable[[Report], None] = lambda report: None
    calls: list[str] = field(default_factory=list)
    recognised: Recognised = Recognised(None, 0.9)

    def separate(
        self,
        source: Path,
        out_dir: Path,
        *,
        only: str | None = None,
        residual: bool = False,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> tuple[FakeStem, ...]:
        self.calls.append("separate")
        assert on_progress is not None
        on_progress("separating", 0.5)
        self.during(on_progress)
        if source.stat().st_size < 100:
            raise CorruptAudio("The file breaks off at 0.0 s.")
        out_dir.mkdir(parents=True, exist_ok=True)
        if only not in (None, *STEMS):
            raise ModelError(f"The model has no stem {only!r}, only {', '.join(STEMS)}.")
        names = STEMS if only is None else (only, "instrumental" if only == "vocals" else f"no_{only}")
        for name in names:
            tone = np.sin(np.arange(RATE_HZ) * (1 + len(name)) / 10).astype(np.float32) / 2
            sf.write(out_dir / f"{name}.flac", tone, RATE_HZ)
        return tuple(FakeStem(name, out_dir / f"{name}.flac", 1.0) for name in names)

    def transcribe(
        self,
        stems: Mapping[str, Path],
        out_dir: Path,
        *,
        wanted: Collection[str] | None = None,
        transcriber: str = AUTO,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> SongNotes:
        self.calls.append("transcribe" if transcriber == AUTO else f"transcribe with {transcriber}")
        assert on_progress is not None
        on_progress("transcribing", 0.5)
        self.during(on_progress)
        out_dir.mkdir(parents=True, exist_ok=True)
        notes = (Note(60, 0.25, 0.5, 0.8, 0.9), Note(64, 0.5, 0.75, 0.6, 0.7))
        instruments = tuple(
            Instrument(player, program, name == "drums", name, notes, 0.8)
            for name in stems
            for player, program in PLAYERS.get(name, (KEYBOARD,))
            if name != "vocals" and (wanted is None or name in wanted)  # a silent stem gives no instrument
        )
        return write_song_notes(HeardSong(instruments, 1.0, BEATS, KEYS), out_dir)

    def recognise(self, source: Path, *, scratch: Path | None = None, on_progress: Report | None = None) -> Recognised:
        self.calls.append("recognise")
        assert on_progress is not None
        on_progress("recognising", 0.5)
        self.during(on_progress)
        if source.stat().st_size < 100:
            raise CorruptAudio("The file breaks off at 0.0 s.")
        return self.recognised

    def to_wav(
        self, source: Path, out: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> WavFile:
        self.calls.append("to_wav")
        assert on_progress is not None
        on_progress("writing", 0.5)
        self.during(on_progress)
        samples, rate_hz = sf.read(source, dtype="int16")
        out.parent.mkdir(parents=True, exist_ok=True)
        sf.write(out, samples, rate_hz)
        return WavFile(out, len(samples) / rate_hz)

    @property
    def soundfont(self) -> str | None:
        return "fluidr3-mono"

    def sonify(
        self, instruments: Sequence[Instrument], duration_s: float, out: Path, *, on_progress: Report | None = None
    ) -> Sonified:
        self.calls.append("sonify")
        assert on_progress is not None
        on_progress("playing", 0.5)
        self.during(on_progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        sf.write(out, np.zeros((round(duration_s * RATE_HZ), 2), dtype=np.int16), RATE_HZ)
        return Sonified(out, "fluidr3-mono", duration_s)

    def subtract(
        self, source: Path, part: Path, out: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> Rest:
        self.calls.append("subtract")
        assert on_progress is not None
        on_progress("writing", 0.5)
        self.during(on_progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        samples, rate_hz = sf.read(part, dtype="int16")
        sf.write(out, -(samples // 2), rate_hz)
        return Rest(out, len(samples) / rate_hz)

    def tempo_and_key(
        self, source: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> TempoAndKey:
        self.calls.append("tempo_and_key")
        assert on_progress is not None
        on_progress("listening", 0.5)
        self.during(on_progress)
        if source.stat().st_size < 100:
            raise CorruptAudio("The file breaks off at 0.0 s.")
        return TempoAndKey(1.0, BEATS, KEYS)
