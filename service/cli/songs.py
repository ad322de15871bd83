"""Commands that take songs: transcribe, separate, midi."""

import json
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.errors import AudioError, PipelineError
from pipeline.memory import keep_freed_memory
from pipeline.models.catalogue import CATALOGUE
from pipeline.notes import Instrument
from pipeline.song import Report, SongPipeline
from pipeline.song_notes import HeardSong, SongNotes
from pipeline.transcription.choices import AUTO, TRANSCRIBERS
from pipeline.transcription.routing import ROUTES
from service.cli.models import ensure_models
from service.models import TRANSCRIPTION_MODELS, model_store
from service.music import music_of
from service.notes import wire_confidence, wire_notes
from service.settings import DEVICES, Settings, load_settings

_FOLDER = click.Path(file_okay=False, path_type=Path)
_EXIT_FAILED = 1
_DEFAULT_STEM = "other"
_VOCALS = "vocals"
_STEMS = tuple(dict.fromkeys(stem for entry in CATALOGUE.values() for stem in entry.stems))  # of any model

_SEPARATORS = [entry.name for entry in CATALOGUE.values() if entry.purpose == "separation"]

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Done:
    """What a command made of one song, as its JSON document tells it; a song that was only separated was not heard."""

    duration_s: float
    files: dict[str, Any]
    heard: HeardSong | None = None


def _common(command: Command) -> Command:
    for decorate in (
        click.argument("songs", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option("-o", "--output", required=True, type=_FOLDER, help="Folder to write to."),
        click.option("--device", type=click.Choice(DEVICES), help="Where the models run (STEMSCRIBE_DEVICE)."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output."),
    ):  # fmt: skip
        command = decorate(command)
    return command


_model_option = click.option(
    "-n", "--model", type=click.Choice(_SEPARATORS), help="Separation model (STEMSCRIBE_SEPARATION_MODEL)."
)


_transcriber_option = click.option(
    "--transcriber",
    type=click.Choice([*TRANSCRIBERS]),
    default=AUTO,
    show_default=True,
    help="; ".join(f"{name}: {what}" for name, what in TRANSCRIBERS.items()) + ".",
)


@click.command()
@_common
@_model_option
@_transcriber_option
def transcribe(
    songs: tuple[Path, ...], output: Path, device: str | None, as_json: bool, model: str | None, transcriber: str
) -> None:
    """Everything: stems, a MIDI file for the song and one per stem, the list of notes, sheet music, a piano roll, and
    the notes played.

    Each SONG gets a folder of its own in the output folder.
    """
    settings = load_settings(device=device, separation_model=model)
    _prepare(output)
    pipeline = _pipeline(settings, settings.separation_model, *TRANSCRIPTION_MODELS)

    def do(song: Path, folder: Path, report: Report) -> _Done:
        made = pipeline.run(song, folder, transcriber=transcriber, on_progress=report)
        files = {
            **_note_files(made.notes),
            "stems": {stem.name: str(stem.path) for stem in made.stems},
        }
        return _Done(made.duration_s, files, made.notes.heard)

    _each(songs, output, as_json, do)


@click.command()
@_common
@_model_option
@click.option(
    "--two-stems",
    "only",
    is_flag=False,
    flag_value=_VOCALS,
    type=click.Choice(_STEMS),
    metavar="[STEM]",
    help=f"Only one stem ({_VOCALS} where none is named) and the rest (the input minus it): {', '.join(_STEMS)}.",
)
@click.option("--residual", is_flag=True, help="Also what all stems together miss of the mix.")
def separate(
    songs: tuple[Path, ...],
    output: Path,
    device: str | None,
    as_json: bool,
    model: str | None,
    only: str | None,
    residual: bool,
) -> None:
    """Stems only, as FLAC of the song's own rate and length.

    Each SONG gets a folder of its own in the output folder.
    """
    settings = load_settings(device=device, separation_model=model)
    _check_stem(only, settings.separation_model)
    _prepare(output)
    pipeline = _pipeline(settings, settings.separation_model)

    def do(song: Path, folder: Path, report: Report) -> _Done:
        stems = pipeline.separate(song, folder, only=only, residual=residual, on_progress=report)
        return _Done(stems[0].duration_s, {"stems": {stem.name: str(stem.path) for stem in stems}})

    _each(songs, output, as_json, do)


@click.command()
@_common
@click.option(
    "--stem",
    type=click.Choice(sorted({*ROUTES, _DEFAULT_STEM})),
    help=f"What the audio is: {', '.join(ROUTES)}, other. Default: the file's name where it is one of these "
    f"(drums.flac), else {_DEFAULT_STEM}.",
)
@_transcriber_option
def midi(
    songs: tuple[Path, ...], output: Path, device: str | None, as_json: bool, stem: str | None, transcriber: str
) -> None:
    """Notes only, without separation: of a stem, or of any audio as it is.

    Each SONG gets a folder of its own in the output folder.
    """
    settings = load_settings(device=device)
    _prepare(output)
    pipeline = _pipeline(settings, *TRANSCRIPTION_MODELS)

    def do(song: Path, folder: Path, report: Report) -> _Done:
        name = stem or (song.stem if song.stem in ROUTES else _DEFAULT_STEM)
        made = pipeline.transcribe({name: song}, folder, transcriber=transcriber, on_progress=report)
        return _Done(made.heard.duration_s, _note_files(made), made.heard)

    _each(songs, output, as_json, do)


def _check_stem(only: str | None, model: str) -> None:
    """Refuse a stem that only other models give."""
    if only is not None and only not in CATALOGUE[model].stems:
        others = ", ".join(name for name in _SEPARATORS if only in CATALOGUE[name].stems)
        raise click.BadParameter(
            f"{only!r} is no stem of {model}, which has {', '.join(CATALOGUE[model].stems)}; with --model: {others}.",
            param_hint="'--two-stems'",
        )


def _prepare(output: Path) -> None:
    """Make the output folder, and see that it can be written before any work goes into what belongs there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise click.ClickException(f"The output folder {output} cannot be written: {error.strerror}.") from error


def _pipeline(settings: Settings, *needed: str) -> SongPipeline:
    ensure_models(settings, needed)
    keep_freed_memory()
    return SongPipeline(
        model_store(settings),
        separation_model=settings.separation_model,
        device=settings.device,
        limits=settings.decode_limits,
    )


def _note_files(notes: SongNotes) -> dict[str, Any]:
    """Where the notes were written to."""
    return {
        "midi": str(notes.midi),
        "stemMidi": {name: str(path) for name, path in notes.stem_midi.items()},
        "csv": str(notes.csv),
        "score": str(notes.score),
        "pianoRoll": str(notes.piano_roll),
        "preview": str(notes.preview),
        "beats": str(notes.beats_json),
    }


def _each(songs: tuple[Path, ...], output: Path, as_json: bool, do: Callable[[Path, Path, Report], _Done]) -> None:
    """Do something to every song with the same loaded models; one that fails does not stop the others."""
    results: list[dict[str, Any]] = []
    failed = 0
    for song, folder in zip(songs, _folders(songs, output), strict=True):
        try:
            with _progress(song.name) as report:
                folder.mkdir(parents=True, exist_ok=True)
                done = do(song, folder, report)
            results.append(_document(song, done))
            if not as_json:
                _summary(song, folder, done)
        except (AudioError, OSError) as error:  # this song's own fault; a missing model would stop all of them
            failed += 1
            code = error.code if isinstance(error, PipelineError) else "io_error"
            results.append({"file": str(song), "error": {"code": code, "message": str(error)}})
            click.echo(f"{song}: {error}", err=True)
        finally:
            _remove_if_empty(folder)
    if as_json:
        json.dump({"songs": results}, sys.stdout)
        click.echo()
    if failed:
        raise SystemExit(_EXIT_FAILED)


def _folders(songs: tuple[Path, ...], output: Path) -> list[Path]:
    """A folder a song, named like it; names taken by an earlier song of the call are numbered.

    Dots at either end go: ``..`` would be another folder, and ``.song`` a hidden one.
    """
    folders: list[Path] = []
    taken: set[str] = set()
    for song in songs:
        wanted = name = song.stem.strip(". ") or "song"
        number = 1
        while (key := unicodedata.normalize("NFC", name).casefold()) in taken:  # one folder to some file systems
            number += 1
            name = f"{wanted}-{number}"
        taken.add(key)
        folders.append(output / name)
    return folders


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class _progress:  # noqa: N801 (used like a function)
    """A progress bar on standard error for one song, as a context manager that gives the report callback."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        self._bar = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._name = name

    def __enter__(self) -> Report:
        self._bar.start()
        task = self._bar.add_task(self._name, total=1.0)

        def report(stage: str, fraction: float) -> None:
            self._bar.update(task, description=f"{self._name}: {stage}", completed=fraction)

        return report

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _document(song: Path, done: _Done) -> dict[str, Any]:
    heard: dict[str, Any] = {"instruments": []}
    if done.heard is not None:
        music = music_of(done.heard)
        heard = {
            "tempo": music.tempo,
            "tempoConfidence": music.tempo_confidence,
            "timeSignature": music.time_signature,
            "key": music.key,
            "keyConfidence": music.key_confidence,
            "instruments": [_instrument(instrument) for instrument in done.heard.instruments],
        }
    return {"file": str(song), "durationS": round(done.duration_s, 6), **heard, "files": done.files}


def _instrument(instrument: Instrument) -> dict[str, Any]:
    return {
        "name": instrument.name,
        "program": instrument.program,
        "isDrum": instrument.is_drum,
        "stem": instrument.stem,
        "confidence": wire_confidence(instrument.confidence),
        "notes": wire_notes(instrument),
    }


def _summary(song: Path, folder: Path, done: _Done) -> None:
    click.echo(f"{song} ({done.duration_s:.1f} s) -> {folder}")
    if done.heard is None:
        return
    music = music_of(done.heard)
    tempo = "no clear tempo" if music.tempo is None else f"{music.tempo:.1f} BPM"
    click.echo(f"  {tempo}, {music.time_signature or 'no clear metre'}, {music.key or 'no clear key'}")
    if not done.heard.instruments:
        click.echo("  no notes")
    for instrument in done.heard.instruments:
        click.echo(f"  {instrument.stem:<12} {instrument.name:<26} {len(instrument.notes):>5} notes")
