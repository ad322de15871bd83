"""The whole line: a song goes in, stems and notes come out.

:class:`SongPipeline` keeps the loaded models, so use one instance for many songs.  Its methods are the stages:
:meth:`~SongPipeline.separate`, :meth:`~SongPipeline.transcribe`, and :meth:`~SongPipeline.run` for both;
:meth:`~SongPipeline.to_wav` stands beside them.
"""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.analysis.beats import estimate_beats
from pipeline.analysis.key import estimate_keys
from pipeline.analysis.tempo_and_key import TempoAndKey, tempo_and_key
from pipeline.artefacts.sonify import Sonified, sonify
from pipeline.audio.decode import DecodeLimits, decode
from pipeline.audio.source import AudioSource
from pipeline.audio.subtract import Rest, subtract
from pipeline.audio.wav import WavFile, write_wav
from pipeline.models.soundfonts import installed_soundfont
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument
from pipeline.progress import OnProgress, part
from pipeline.recognition import Recognised, recognise
from pipeline.song_notes import HeardSong, SongNotes, write_song_notes
from pipeline.transcription.choices import AUTO, check_transcriber
from pipeline.transcription.mix import transcribe_mix
from pipeline.transcription.routing import Transcription

if TYPE_CHECKING:
    from pipeline.separation.batcher import OnBatch
    from pipeline.separation.separator import Separator
    from pipeline.separation.stems import StemFile

Report = Callable[[str, float], None]
"""Told the stage, in a word, and the fraction of the whole that is done: 0-1, never less than before.  Told often, so
that what it does should cost little: several times a second, but for the seconds in which a model loads (``loading``)
or one segment is separated.  An exception raised by it, such as :class:`pipeline.errors.Cancelled`, stops the work and
passes through; nothing half-written stays behind, and no process."""

_SEPARATION_SHARE = 0.9  # of the time of a whole run, on CPU: transcription takes about a tenth
# Decoding takes, of the time of each, for a song of three minutes:
_DECODING_OF_SEPARATION = 0.02
_DECODING_OF_TRANSCRIPTION = 0.2
_TRANSCRIBED = 0.9  # of a transcription; the beats are the rest
_DECODING_OF_WAV = 0.7
_DECODING_OF_RECOGNITION = 0.2
_DECODING_OF_MIX, _HEARD_OF_MIX = 0.15, 0.8  # of tempo and key; the beats are the rest
_REPORT_EVERY_S = 0.25  # how soon who waits for another thread's loading can be stopped


@dataclass(frozen=True, slots=True)
class Song:
    """What a whole run gives."""

    duration_s: float
    stems: "tuple[StemFile, ...]"
    notes: SongNotes


class SongPipeline:
    """Separates and transcribes songs; the models are loaded when first needed, once, and kept.

    Any number of threads may use one instance at once, each for a song with an ``out_dir`` of its own; a song comes out
    the same whatever else is being done.  Songs that are separated at the same time share batches of segments; all else
    of them only shares processors.  Reports of a song come from the thread that works on it, one after the other.

    Args:
        weights: the cache of weights.
        separation_model: name of the separator in the catalogue.
        device: where networks run that can run elsewhere than on the CPU: auto, cuda, mps or cpu.
        limits: what the decoder accepts.
        on_batch: told of every batch of segments, by any of the threads: how many there were, and how many it had room
            for.
    """

    def __init__(
        self,
        weights: ModelStore,
        *,
        separation_model: str = "htdemucs",
        device: str = "auto",
        limits: DecodeLimits | None = None,
        on_batch: "OnBatch | None" = None,
    ) -> None:
        self._weights = weights
        self._separation_model = separation_model
        self._device = device
        self._limits = limits or DecodeLimits()
        self._on_batch = on_batch
        self._separator: Separator | None = None
        self._loading = threading.Lock()
        self._transcription = Transcription(weights, device)

    def separate(
        self,
        source: Path,
        out_dir: Path,
        *,
        only: str | None = None,
        residual: bool = False,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> "tuple[StemFile, ...]":
        """Separate a song into FLAC files of its own rate, length and number of channels.

        Args:
            source: any audio file that libsndfile or ffmpeg reads.
            out_dir: folder for the files; made if need be.
            only: one stem's name, for it and the rest, the input minus it: ``instrumental`` without ``vocals``, else
                ``no_<stem>``.
            residual: also ``residual``, what all stems together miss of the input.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: the file cannot be used.
            ModelMissing: the separator's weights are not in the cache.
            ModelError: the model has no such stem.
            OutOfMemory: the device has too little memory for even one segment.
        """
        report = on_progress or _silent
        out_dir.mkdir(parents=True, exist_ok=True)
        with _scratch_folder(scratch) as folder:
            decoding = _stage(report, "decoding", 0.0, _DECODING_OF_SEPARATION)
            decoding(0.0)
            mix = decode(source, folder, self._limits, decoding)
            separator = self._loaded_separator(partial(report, "loading", _DECODING_OF_SEPARATION))
            from pipeline.separation.stems import separate  # imports torch, as loading does

            made = separate(
                mix,
                separator,
                out_dir,
                only=only,
                residual=residual,
                scratch=folder,
                on_progress=_stage(report, "separating", _DECODING_OF_SEPARATION, 1.0),
            )
        return made.stems

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
        """Write down the notes of stems.

        Args:
            stems: audio file of each stem, by the stem's name.
            out_dir: folder for the MIDI files and the note list; made if need be.
            wanted: names of the stems whose notes to keep, all by default.  Give all stems of the song even when few
                are wanted, and all are heard: the others tell what leaked into these, and tempo, bars and key.
            transcriber: one of :data:`pipeline.transcription.choices.TRANSCRIBERS`.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: a file cannot be used.
            UnknownTranscriber: there is no such transcriber.
            ModelMissing: the network of a stem is not in the cache.
            OutOfMemory: the device has too little memory for the least there is to hear.
        """
        report = on_progress or _silent
        check_transcriber(transcriber)
        out_dir.mkdir(parents=True, exist_ok=True)
        with _scratch_folder(scratch) as folder:
            audio: dict[str, AudioSource] = {}
            for index, (name, path) in enumerate(stems.items()):
                share = _DECODING_OF_TRANSCRIPTION / len(stems)
                decoding = _stage(report, "transcribing", index * share, (index + 1) * share)
                decoding(0.0)
                audio[name] = decode(path, folder, self._own_limits, decoding)
            instruments = self._transcription.transcribe(
                audio,
                transcriber=transcriber,
                on_progress=_stage(report, "transcribing", _DECODING_OF_TRANSCRIPTION, _TRANSCRIBED),
            )
        duration_s = max((source.duration_s for source in audio.values()), default=0.0)
        beats = estimate_beats(instruments, _stage(report, "counting", _TRANSCRIBED, 1.0))
        report("writing", 1.0)
        kept = tuple(one for one in instruments if wanted is None or one.stem in wanted)
        heard = HeardSong(kept, duration_s, beats, estimate_keys(instruments))
        return write_song_notes(heard, out_dir, partial(report, "writing", 1.0))

    def run(
        self,
        source: Path,
        out_dir: Path,
        *,
        transcriber: str = AUTO,
        scratch: Path | None = None,
        on_progress: Report | None = None,
    ) -> Song:
        """Separate a song and write down every stem; all files go to ``out_dir``.

        Raises:
            AudioError: the file cannot be used.
            UnknownTranscriber: there is no such transcriber.
            ModelMissing: weights are not in the cache.
        """
        report = on_progress or _silent
        check_transcriber(transcriber)
        stems = self.separate(
            source,
            out_dir,
            scratch=scratch,
            on_progress=lambda stage, fraction: report(stage, fraction * _SEPARATION_SHARE),
        )
        notes = self.transcribe(
            {stem.name: stem.path for stem in stems},
            out_dir,
            transcriber=transcriber,
            scratch=scratch,
            on_progress=lambda stage, fraction: report(stage, _SEPARATION_SHARE + fraction * (1 - _SEPARATION_SHARE)),
        )
        return Song(stems[0].duration_s, stems, notes)

    def recognise(self, source: Path, *, scratch: Path | None = None, on_progress: Report | None = None) -> Recognised:
        """Whether a recording is a song, to be separated, or one instrument or voice, to be transcribed as it is.

        What it is taken for is the name under which to give it to :meth:`transcribe` alone.  At most four segments of
        the recording are separated for it.

        Args:
            source: any audio file that libsndfile or ffmpeg reads.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: the file cannot be used.
            ModelMissing: the separator's weights are not in the cache, or those of the network that follows a voice.
            OutOfMemory: the device has too little memory for even one segment.
        """
        report = on_progress or _silent
        with _scratch_folder(scratch) as folder:
            decoding = _stage(report, "decoding", 0.0, _DECODING_OF_RECOGNITION)
            decoding(0.0)
            mix = decode(source, folder, self._limits, decoding)
            separator = self._loaded_separator(partial(report, "loading", _DECODING_OF_RECOGNITION))
            listening = _stage(report, "recognising", _DECODING_OF_RECOGNITION, 1.0)
            return recognise(mix, separator, self._transcription.pitch_network, folder, listening)

    def to_wav(
        self, source: Path, out: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> WavFile:
        """Write any audio as a WAV file of its own rate, channels (at most two) and resolution (16 or 24 bits).

        Args:
            source: any audio file that libsndfile or ffmpeg reads; of a FLAC of ours the samples are the same.
            out: the file, ``.wav``; its folder is made if need be.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: the file cannot be used, or is more than a WAV can hold.
        """
        report = on_progress or _silent
        out.parent.mkdir(parents=True, exist_ok=True)
        with _scratch_folder(scratch) as folder:
            decoding = _stage(report, "decoding", 0.0, _DECODING_OF_WAV)
            decoding(0.0)
            audio = decode(source, folder, self._own_limits, decoding)
            return write_wav(audio, out, _stage(report, "writing", _DECODING_OF_WAV, 1.0))

    @property
    def soundfont(self) -> str | None:
        """Name of the soundfont that :meth:`sonify` plays with; None for the plain synthesiser."""
        installed = installed_soundfont(self._weights)
        return installed.name if installed else None

    def sonify(
        self, instruments: Sequence[Instrument], duration_s: float, out: Path, *, on_progress: Report | None = None
    ) -> Sonified:
        """Play notes into a stereo WAV file, with the best soundfont in the cache; without one, by a plain synthesiser.

        Args:
            instruments: as :meth:`transcribe` gives them; none gives silence.
            duration_s: length of the song; the last notes may ring for a little longer.
            out: the file, ``.wav``; its folder is made if need be.
            on_progress: see :data:`Report`.

        Raises:
            AudioLimitExceeded: the song is longer than a WAV can hold.
            ModelError: the soundfont is damaged.
        """
        report = on_progress or _silent
        out.parent.mkdir(parents=True, exist_ok=True)
        soundfont = installed_soundfont(self._weights)
        return sonify(instruments, duration_s, out, soundfont, _stage(report, "playing", 0.0, 1.0))

    def subtract(
        self, source: Path, part: Path, out: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> Rest:
        """Write what is left of a song without one of its stems as FLAC, to the bit: all of it but the stem.

        Args:
            source: the song that was separated.
            part: the stem's file, as :meth:`separate` made it.
            out: the file, ``.flac``; its folder is made if need be.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: a file cannot be used, or the stem is not one of this song.
        """
        report = on_progress or _silent
        out.parent.mkdir(parents=True, exist_ok=True)
        with _scratch_folder(scratch) as folder:
            mix = decode(source, folder, self._limits, _stage(report, "decoding", 0.0, 0.3))
            stem = decode(part, folder, self._own_limits, _stage(report, "decoding", 0.3, 0.6))
            return subtract(mix, stem, out, _stage(report, "writing", 0.6, 1.0))

    def tempo_and_key(
        self, source: Path, *, scratch: Path | None = None, on_progress: Report | None = None
    ) -> TempoAndKey:
        """Tempo, beats and keys of any audio, by a rough transcription of the whole mix: nothing is separated.

        Args:
            source: any audio file that libsndfile or ffmpeg reads.
            scratch: folder for large temporary files; the system's own by default.
            on_progress: see :data:`Report`.

        Raises:
            AudioError: the file cannot be used.
            OutOfMemory: the device has too little memory for the least there is to hear.
        """
        report = on_progress or _silent
        with _scratch_folder(scratch) as folder:
            decoding = _stage(report, "decoding", 0.0, _DECODING_OF_MIX)
            decoding(0.0)
            mix = decode(source, folder, self._limits, decoding)
            listening = _stage(report, "listening", _DECODING_OF_MIX, _HEARD_OF_MIX)
            drums, pitched = self._transcription.transcriber("drums"), self._transcription.transcriber("mix")
            heard = transcribe_mix(mix, drums, pitched, listening)
        return tempo_and_key(heard, mix.duration_s, _stage(report, "counting", _HEARD_OF_MIX, 1.0))

    @property
    def _own_limits(self) -> DecodeLimits:
        """Those for stems, which are ours: a 24-bit one may be larger than what is accepted from outside."""
        return replace(self._limits, max_file_bytes=1 << 40)

    def _loaded_separator(self, report: Callable[[], None]) -> "Separator":
        """The separator; where it must be loaded, reports before every step, the first of which imports torch."""
        if self._separator is None:
            while not self._loading.acquire(timeout=_REPORT_EVERY_S):
                report()
            try:
                if self._separator is None:
                    self._separator = self._load_separator(report)
            finally:
                self._loading.release()
        return self._separator

    def _load_separator(self, report: Callable[[], None]) -> "Separator":
        report()
        from pipeline.models.network import load_separation_model
        from pipeline.separation.separator import Separator

        report()
        model = load_separation_model(self._separation_model, self._weights)
        return Separator(model, device=self._device, on_batch=self._on_batch)


def _stage(report: Report, name: str, start: float, stop: float) -> OnProgress:
    """What the work of a stage reports to, when it is the work from ``start`` to ``stop`` (0-1) of the whole."""
    return part(partial(report, name), start, stop)


@contextlib.contextmanager
def _scratch_folder(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stemscribe-", dir=parent) as folder:
        yield Path(folder)


def _silent(_stage: str, _fraction: float) -> None:
    """Progress that nobody asked for."""
