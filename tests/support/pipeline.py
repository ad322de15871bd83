"""A pipeline with the real one's signatures and none of its models, for tests of the service around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.artefacts.piano_roll import write_piano_roll
from pipeline.artefacts.preview import write_preview
from pipeline.artefacts.score import write_score
from pipeline.audio.wav import WavFile
from pipeline.errors import CorruptAudio, ModelError
from pipeline.midi import write_midi
from pipeline.notes import Instrument, Note
from pipeline.notes_csv import write_notes_csv
from pipeline.song import Report, SongNotes

RATE_HZ = 8000
STEMS = ("drums", "bass", "other", "vocals")


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
    """

    during: Callable[[Report], None] = lambda report: None
    calls: list[str] = field(default_factory=list)

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
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> SongNotes:
        self.calls.append("transcribe")
        assert on_progress is not None
        on_progress("transcribing", 0.5)
        self.during(on_progress)
        out_dir.mkdir(parents=True, exist_ok=True)
        notes = (Note(60, 0.25, 0.5, 0.8), Note(64, 0.5, 0.75, 0.6))
        instruments = tuple(
            Instrument("Drums" if name == "drums" else "Electric Piano 1", 4, name == "drums", name, notes)
            for name in stems
            if name != "vocals"  # a silent stem gives no instrument
        )
        write_midi(instruments, out_dir / "song.mid")
        write_notes_csv(instruments, out_dir / "notes.csv")
        stem_midi = {instrument.stem: out_dir / f"{instrument.stem}.mid" for instrument in instruments}
        for instrument in instruments:
            write_midi([instrument], stem_midi[instrument.stem])
        score, roll, preview = (out_dir / name for name in ("score.musicxml", "piano-roll.svg", "preview.mp3"))
        write_score(instruments, score)
        write_piano_roll(instruments, 1.0, roll)
        write_preview(instruments, 1.0, preview)
        return SongNotes(instruments, 1.0, out_dir / "song.mid", out_dir / "notes.csv", score, roll, preview, stem_midi)

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
