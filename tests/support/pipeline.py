"""A pipeline with the real one's signatures and none of its models, for tests of the service around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf

from pipeline.errors import CorruptAudio
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
        two_stems: bool = False,
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
        names = ("vocals", "instrumental") if two_stems else STEMS
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
        return SongNotes(instruments, 1.0, out_dir / "song.mid", out_dir / "notes.csv", stem_midi)
