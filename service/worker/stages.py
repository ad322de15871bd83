"""The stages that several kinds of task share: stems of a source, notes of stems; each made once, for good."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.notes import Instrument
from pipeline.song_notes import SongNotes
from pipeline.stem_names import INSTRUMENTAL, VOCALS
from service.context import Context
from service.db.models import InstrumentNotes, Queue, TaskKind
from service.digests import SEPARATION, SUBTRACTION, TRANSCRIPTION, only_stem, transcriber_of
from service.errors import Invalid
from service.music import music_of, stored_music
from service.notes import encoded_notes, wire_confidence
from service.store.records import NewFile, NewNotes, NewStageFile, Outcome, TaskRecord, TrackFile
from service.worker.job import Job

_SEPARATION_SHARE = 0.9  # of a whole song's time, before anything was measured
_SUBTRACTION_SHARE = 0.02  # of a separation's, on a CPU


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a stem lies, and what is in it."""

    storage_key: str
    sha256: str


async def separated(job: Job, source: TrackFile, only: str | None, share: float) -> list[NewStageFile]:
    """Stored stems of a source: of an earlier attempt or another task, or made now.

    Args:
        only: the one stem to split off; None for all.
        share: how much of the job's time that takes, 0-1.
    """
    digest = job.digests.separation(source.file.sha256, only)
    if (before := await job.made_before(SEPARATION, digest)) is not None:
        job.progress.skip(share)
        return before
    job.needs(Queue.SEPARATION)
    path = await job.local(source.file.storage_key)
    with job.progress.part(SEPARATION, share):
        stems = await asyncio.to_thread(
            job.pipeline.separate,
            path,
            job.scratch / "stems",
            only=only,
            scratch=job.scratch,
            on_progress=job.progress.report,
        )
    await job.learn(SEPARATION, stems[0].duration_s)
    made = [NewStageFile(await job.keep(stem.path, "stem"), stem.name, stem.duration_s) for stem in stems]
    await job.insist(lambda: job.context.store.stages.finish(job.claim, SEPARATION, digest, made))
    return made


async def extracted(job: Job, source: TrackFile, wanted: Sequence[str]) -> list[NewStageFile]:
    """Stored stems of a source, in the order they are wanted in; ``instrumental`` is the source minus its vocals."""
    if only_stem(TaskKind.EXTRACTION, job.claim.task.params):
        stems = await separated(job, source, VOCALS, 1.0)
    else:
        share = 1 - _SUBTRACTION_SHARE * (INSTRUMENTAL in wanted)
        stems = await separated(job, source, None, share)
        if INSTRUMENTAL in wanted:
            stems = [*stems, await _instrumental(job, source, stems, 1 - share)]
    by_name = {stem.stem: stem for stem in stems}
    if missing := [name for name in wanted if name not in by_name]:  # another model was installed meanwhile
        raise Invalid(
            f"stems: {', '.join(missing)} cannot be isolated any more; there is {', '.join(map(str, by_name))}."
        )
    return [by_name[name] for name in wanted]


async def _instrumental(job: Job, source: TrackFile, stems: Sequence[NewStageFile], share: float) -> NewStageFile:
    [vocals] = (stem for stem in stems if stem.stem == VOCALS)
    digest = job.digests.subtraction(source.file.sha256, vocals.file.sha256)
    if (before := await job.made_before(SUBTRACTION, digest)) is not None:
        job.progress.skip(share)
        return before[0]
    mix, part = await job.local(source.file.storage_key), await job.local(vocals.file.storage_key)
    with job.progress.part(SUBTRACTION, share):
        rest = await asyncio.to_thread(
            job.pipeline.subtract,
            mix,
            part,
            job.scratch / f"{INSTRUMENTAL}.flac",
            scratch=job.scratch,
            on_progress=job.progress.report,
        )
    made = NewStageFile(await job.keep(rest.path, "stem"), INSTRUMENTAL, rest.duration_s)
    await job.insist(lambda: job.context.store.stages.finish(job.claim, SUBTRACTION, digest, [made]))
    return made


async def transcribed(job: Job, stems: Mapping[str, Stored], wanted: Sequence[str] | None, share: float) -> Outcome:
    """Notes of stems: of another task with the same ones, or made now.

    Args:
        stems: by name, all of the song: what is not wanted helps to hear the rest.
        wanted: names of those whose notes are kept; None for all.
        share: how much of the job's time that takes, 0-1.
    """
    contents = {name: stem.sha256 for name, stem in stems.items()}
    digest = job.digests.transcription(contents, wanted, transcriber_of(job.claim.task.params))
    if (before := await job.result_before(TRANSCRIPTION, digest)) is not None:
        return heard_before(*before, (TRANSCRIPTION, digest))
    song = await heard(job, stems, wanted, share)
    return await outcome_of(job, song, (TRANSCRIPTION, digest))


async def heard(job: Job, stems: Mapping[str, Stored], wanted: Sequence[str] | None, share: float) -> SongNotes:
    """Notes of stems, made now, and their files in the job's scratch folder; arguments as for :func:`transcribed`.

    Raises:
        PassOn: this is for a worker of another queue.
    """
    job.needs(Queue.MIDI)
    paths = {name: await job.local(stem.storage_key) for name, stem in stems.items()}
    with job.progress.part(TRANSCRIPTION, share):
        song = await asyncio.to_thread(
            job.pipeline.transcribe,
            paths,
            job.scratch / "notes",
            wanted=wanted,
            transcriber=transcriber_of(job.claim.task.params),
            scratch=job.scratch,
            on_progress=job.progress.report,
        )
    if len(stems) > 1:  # of a single instrument it takes far less, which would spoil the estimates of songs
        await job.learn(TRANSCRIPTION, song.heard.duration_s)
    return song


async def outcome_of(job: Job, song: SongNotes, stage: tuple[str, str]) -> Outcome:
    """What a task leaves behind that heard a song, its files stored; ``stage`` is its last one's name and digest."""
    return Outcome(
        files=await note_files(job, song),
        instruments=[_notes(instrument) for instrument in song.heard.instruments],
        audio_s=song.heard.duration_s,
        music=stored_music(music_of(song.heard)),
        stage=stage,
    )


def heard_before(record: TaskRecord, files: list[NewFile], stage: tuple[str, str]) -> Outcome:
    """What another task left behind that heard the same, as this one's."""
    return Outcome(
        files=files,
        instruments=[_same_notes(row) for row in record.instruments],
        audio_s=record.task.audio_s,
        music=record.task.music,
        stage=stage,
    )


async def separation_share(context: Context) -> float:
    """How much of a whole song's time separation took of late."""
    speeds = await context.store.speeds.all()
    if SEPARATION not in speeds or TRANSCRIPTION not in speeds:
        return _SEPARATION_SHARE
    return speeds[SEPARATION] / (speeds[SEPARATION] + speeds[TRANSCRIPTION])


async def note_files(job: Job, song: SongNotes) -> list[NewFile]:
    files = {
        "midi": song.midi,
        "csv": song.csv,
        "musicxml": song.score,
        "piano_roll": song.piano_roll,
        "preview": song.preview,
        "beats": song.beats_json,
    }
    stored = [await job.keep(path, role) for role, path in files.items()]
    return stored + [await job.keep(path, "stem_midi") for path in song.stem_midi.values()]


def _notes(instrument: Instrument) -> NewNotes:
    return NewNotes(
        track_id=None,
        name=instrument.name,
        program=instrument.program,
        is_drum=instrument.is_drum,
        stem=instrument.stem,
        confidence=wire_confidence(instrument.confidence),
        notes=encoded_notes(instrument),
    )


def _same_notes(row: InstrumentNotes) -> NewNotes:
    return NewNotes(
        track_id=None,
        name=row.name,
        program=row.program,
        is_drum=row.is_drum,
        stem=row.stem,
        confidence=row.confidence or 0.0,
        notes=row.notes,
    )
