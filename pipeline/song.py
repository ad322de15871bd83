"""The whole line: a song goes in, stems and notes come out.

:class:`SongPipeline` keeps the loaded models, so use one instance for many songs.  Its methods are the stages:
:meth:`~SongPipeline.separate`, :meth:`~SongPipeline.transcribe`, and :meth:`~SongPipeline.run` for both.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audio.decode import DecodeLimits, decode
from pipeline.midi import write_midi
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument
from pipeline.notes_csv import write_notes_csv
from pipeline.transcription.routing import Transcription

if TYPE_CHECKING:
    from pipeline.separation.separator import Separator
    from pipeline.separation.stems import StemFile

Report = Callable[[str, float], None]
"""Told the stage, in a word, and the fraction of the whole that is done (0-1).  An exception raised by it, such as
:class:`pipeline.errors.Cancelled`, stops the work and passes through; nothing half-written stays behind."""

_SEPARATION_SHARE = 0.9  # of the time of a whole run, on CPU: transcription takes about a tenth


@dataclass(frozen=True, slots=True)
class SongNotes:
    """What transcription gives.

    Attributes:
        instruments: those with notes, in the order of the stems.
        duration_s: length of the longest stem.
        midi: ``song.mid``, a track per instrument.
        csv: ``notes.csv``, every note.
        stem_midi: a MIDI file for each stem that has notes, by the stem's name.
    """

    instruments: tuple[Instrument, ...]
    duration_s: float
    midi: Path
    csv: Path
    stem_midi: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Song:
    """What a whole run gives."""

    duration_s: float
    stems: "tuple[StemFile, ...]"
    notes: SongNotes


class SongPipeline:
    """Separates and transcribes songs; the models are loaded when first needed and kept.

    Args:
        weights: the cache of weights.
        separation_model: name of the separator in the catalogue.
        device: auto, cuda, mps or cpu.
        limits: what the decoder accepts.
    """

    def __init__(
        self,
        weights: ModelStore,
        *,
        separation_model: str = "htdemucs",
        device: str = "auto",
        limits: DecodeLimits | None = None,
    ) -> None:
        self._weights = weights
        self._separation_model = separation_model
        self._device = device
        self._limits = limits or DecodeLimits()
        self._separator: Separator | None = None
        self._transcription = Transcription(weights)

    def separate(
        self,
        source: Path,
        out_dir: Path,
        *,
        two_stems: bool = False,
        residual: bool = False,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> "tuple[StemFile, ...]":
        """Separate a song into FLAC files of its own rate, length and number of channels.

        Args:
            source: any audio file that libsndfile or ffmpeg reads.
            out_dir: folder for the files; made if need be.
            two_stems: only ``vocals`` and ``instrumental``, the input minus the vocals.
            residual: also ``residual``, what all stems together miss of the input.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: the file cannot be used.
            ModelMissing: the separator's weights are not in the cache.
        """
        from pipeline.separation.stems import separate  # torch takes seconds to import: only when it is needed

        report = on_progress or _silent
        out_dir.mkdir(parents=True, exist_ok=True)
        with _scratch_folder(scratch) as folder:
            report("decoding", 0.0)
            mix = decode(source, folder, self._limits)
            report("separating", 0.0)
            made = separate(
                mix,
                self._loaded_separator(),
                out_dir,
                two_stems=two_stems,
                residual=residual,
                scratch=folder,
                on_progress=lambda at: report("separating", at.done / at.total),
            )
        return made.stems

    def transcribe(
        self,
        stems: Mapping[str, Path],
        out_dir: Path,
        *,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> SongNotes:
        """Write down the notes of stems.

        Args:
            stems: audio file of each stem, by the stem's name.
            out_dir: folder for the MIDI files and the note list; made if need be.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: a file cannot be used.
            ModelMissing: the network of a stem is not in the cache.
        """
        report = on_progress or _silent
        out_dir.mkdir(parents=True, exist_ok=True)
        # Stems are ours, and a 24-bit one may be larger than what is accepted from outside.
        limits = replace(self._limits, max_file_bytes=1 << 40)
        instruments: list[Instrument] = []
        duration_s = 0.0
        for done, (name, path) in enumerate(stems.items()):
            report("transcribing", done / len(stems))
            with _scratch_folder(scratch) as folder:
                audio = decode(path, folder, limits)
                duration_s = max(duration_s, audio.duration_s)
                instrument = self._transcription.transcribe_stem(name, audio)
            if instrument is not None:
                instruments.append(instrument)
        report("writing", 1.0)
        return _write(tuple(instruments), duration_s, out_dir)

    def run(
        self, source: Path, out_dir: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> Song:
        """Separate a song and write down every stem; all files go to ``out_dir``.

        Raises:
            AudioError: the file cannot be used.
            ModelMissing: weights are not in the cache.
        """
        report = on_progress or _silent
        stems = self.separate(
            source,
            out_dir,
            scratch=scratch,
            on_progress=lambda stage, fraction: report(stage, fraction * _SEPARATION_SHARE),
        )
        notes = self.transcribe(
            {stem.name: stem.path for stem in stems},
            out_dir,
            scratch=scratch,
            on_progress=lambda stage, fraction: report(stage, _SEPARATION_SHARE + fraction * (1 - _SEPARATION_SHARE)),
        )
        return Song(stems[0].duration_s, stems, notes)

    def _loaded_separator(self) -> "Separator":
        if self._separator is None:
            from pipeline.models.network import load_separation_model
            from pipeline.separation.separator import Separator

            model = load_separation_model(self._separation_model, self._weights)
            self._separator = Separator(model, device=self._device)
        return self._separator


def _write(instruments: tuple[Instrument, ...], duration_s: float, out_dir: Path) -> SongNotes:
    """Write the files of the notes; they appear when all are complete."""
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out_dir) as name:
        folder = Path(name)
        write_midi(instruments, folder / "song.mid")
        write_notes_csv(instruments, folder / "notes.csv")
        for instrument in instruments:
            write_midi([instrument], folder / f"{instrument.stem}.mid")
        for path in folder.iterdir():
            path.replace(out_dir / path.name)
    stem_midi = {instrument.stem: out_dir / f"{instrument.stem}.mid" for instrument in instruments}
    return SongNotes(instruments, duration_s, out_dir / "song.mid", out_dir / "notes.csv", stem_midi)


@contextlib.contextmanager
def _scratch_folder(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stemscribe-", dir=parent) as folder:
        yield Path(folder)


def _silent(_stage: str, _fraction: float) -> None:
    """Progress that nobody asked for."""
