"""What each kind of task does: from its source file to an :class:`Outcome`.

A stage that is done is recorded for good, with its files; everything else is written by the worker, at the end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.audio.decode import decode
from pipeline.audio.probe import probe
from pipeline.notes import Instrument
from pipeline.song_notes import SongNotes
from service.context import Context
from service.db.models import InstrumentNotes, Queue, TaskKind
from service.digests import SEPARATION, TRANSCRIPTION, WAV, only_stem, transcriber_of, wanted_stems
from service.errors import NotFound
from service.music import music_of, stored_music
from service.names import clean_name, with_suffix
from service.net.fetch import fetch
from service.notes import encoded_notes, wire_confidence
from service.storage import MIME_TYPES
from service.store.records import NewFile, NewNotes, NewStageFile, NewTrack, Outcome, TrackFile
from service.store.tasks import stems_of
from service.worker.job import Job

_FETCH_TIMEOUT_S = 300.0
_SOURCE_GONE = "The source audio no longer exists."
_SEPARATION_SHARE = 0.9  # of a whole song's time, before anything was measured


async def separate(job: Job) -> Outcome:
    """Stems of the task's source, each stored as a track.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: the rest is for a worker of another queue.
    """
    stems = await _separated(job, await _source(job), only_stem(job.claim.task.params), 1.0)
    return Outcome(tracks=[_track(stem) for stem in stems], audio_s=stems[0].duration_s)


async def transcribe(job: Job) -> Outcome:
    """Notes of the stems of a finished separation, as rows and as files.

    Raises:
        NotFound: the stems are gone.
        Cancelled: the job was told to stop.
        PassOn: this is for a worker of another queue.
    """
    task = job.claim.task
    stems = stems_of(await job.context.store.tasks.tracks(task.parent_task_id or ""))
    ids = {name: item.track.id for name, item in stems.items()}
    wanted = wanted_stems(ids, task.params)
    if not wanted:
        raise NotFound(_SOURCE_GONE)
    files = {name: _Stored(item.file.storage_key, item.file.sha256) for name, item in stems.items()}
    heard = await _transcribed(job, files, wanted, 1.0)
    return replace(heard, instruments=[replace(notes, track_id=ids[notes.stem]) for notes in heard.instruments])


async def transcribe_song(job: Job) -> Outcome:
    """Everything of a song in one task: its stems and their notes.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: the rest is for a worker of another queue.
    """
    params = job.claim.task.params
    source = await _source(job)
    share = await _separation_share(job.context)
    stems = await _separated(job, source, None, share)
    files = {stem.stem or "": _Stored(stem.file.storage_key, stem.file.sha256) for stem in stems}
    heard = await _transcribed(job, files, params["instruments"], 1 - share)
    kept = [stem for stem in stems if stem.stem in (params["stems"] or [stem.stem])]
    return replace(heard, tracks=[_track(stem) for stem in kept], audio_s=stems[0].duration_s)


async def to_wav(job: Job) -> Outcome:
    """The task's source as a WAV file.

    Raises:
        AudioError: the source cannot be used.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: this is for a worker of another queue.
    """
    source = await _source(job)
    name = clean_name(f"{Path(source.file.name).stem}.wav")
    digest = job.digests.wav(source.file.sha256)
    if (before := await job.result_before(WAV, digest)) is not None:
        record, files = before
        return Outcome(files=[replace(file, name=name) for file in files], audio_s=record.task.audio_s)
    job.needs(Queue.IO)
    out = job.scratch / "audio.wav"  # a name that clients chose is for people, not for paths
    path = await job.local(source.file.storage_key)
    with job.progress.part(WAV):
        wav = await asyncio.to_thread(
            job.pipeline.to_wav, path, out, scratch=job.scratch, on_progress=job.progress.report
        )
    await job.learn(WAV, wav.duration_s)
    return Outcome(files=[await job.keep(out, "wav", name)], audio_s=wav.duration_s, stage=(WAV, digest))


JOBS: dict[TaskKind, Callable[[Job], Awaitable[Outcome]]] = {
    TaskKind.SEPARATION: separate,
    TaskKind.MIDI: transcribe,
    TaskKind.TRANSCRIPTION: transcribe_song,
    TaskKind.WAV: to_wav,
}


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where a stem lies, and what is in it."""

    storage_key: str
    sha256: str


async def _separated(job: Job, source: TrackFile, only: str | None, share: float) -> list[NewStageFile]:
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


async def _transcribed(job: Job, stems: Mapping[str, _Stored], wanted: Sequence[str] | None, share: float) -> Outcome:
    """Notes of stems: of another task with the same ones, or made now.

    Args:
        stems: by name, all of the song: what is not wanted helps to hear the rest.
        wanted: names of those whose notes are kept; None for all.
        share: how much of the job's time that takes, 0-1.
    """
    transcriber = transcriber_of(job.claim.task.params)
    digest = job.digests.transcription({name: stem.sha256 for name, stem in stems.items()}, wanted, transcriber)
    if (before := await job.result_before(TRANSCRIPTION, digest)) is not None:
        record, files = before
        return Outcome(
            files=files,
            instruments=[_same_notes(row) for row in record.instruments],
            audio_s=record.task.audio_s,
            music=record.task.music,
            stage=(TRANSCRIPTION, digest),
        )
    job.needs(Queue.MIDI)
    paths = {name: await job.local(stem.storage_key) for name, stem in stems.items()}
    with job.progress.part(TRANSCRIPTION, share):
        song = await asyncio.to_thread(
            job.pipeline.transcribe,
            paths,
            job.scratch / "notes",
            wanted=wanted,
            transcriber=transcriber,
            scratch=job.scratch,
            on_progress=job.progress.report,
        )
    await job.learn(TRANSCRIPTION, song.heard.duration_s)
    return Outcome(
        files=await _note_files(job, song),
        instruments=[_notes(instrument) for instrument in song.heard.instruments],
        audio_s=song.heard.duration_s,
        music=stored_music(music_of(song.heard)),
        stage=(TRANSCRIPTION, digest),
    )


async def _separation_share(context: Context) -> float:
    """How much of a whole song's time separation took of late."""
    speeds = await context.store.speeds.all()
    if SEPARATION not in speeds or TRANSCRIPTION not in speeds:
        return _SEPARATION_SHARE
    return speeds[SEPARATION] / (speeds[SEPARATION] + speeds[TRANSCRIPTION])


async def _source(job: Job) -> TrackFile:
    """The task's source, fetched first where the client gave an address; its length is known and paid for then."""
    context, claim = job.context, job.claim
    source = await context.store.tasks.track(claim.task.source_track_id or "")
    if source is None:
        return await _fetched(job)
    if claim.task.audio_s is None:
        audio_s = source.track.duration_s
        if audio_s is None:
            audio_s = await _measured_s(job, await job.local(source.file.storage_key))
        await job.insist(lambda: context.store.leases.add_length(claim, audio_s))
    return source


async def _fetched(job: Job) -> TrackFile:
    """The source that the client gave an address of, recorded under the id its task promised."""
    context, claim = job.context, job.claim
    task = claim.task
    url: str | None = task.params.get("audio_url")
    if url is None:
        raise NotFound(_SOURCE_GONE)
    job.needs(Queue.IO)
    job.progress.report("fetching", 0.0)
    path = job.scratch / "source"
    fetched = await job.progress.unless_stopped(
        fetch(
            url,
            path,
            allow=context.settings.allow_addresses,
            max_bytes=context.settings.max_upload_bytes,
            timeout_s=_FETCH_TIMEOUT_S,
        )
    )
    info = await asyncio.to_thread(probe, path, context.settings.decode_limits)
    duration_s = await _measured_s(job, path) if info.duration_s is None else info.duration_s
    stored = await job.insist(
        lambda: context.files.keep(
            path,
            task_id=task.id,
            fence=claim.fence,
            role="source",
            name=with_suffix(fetched.name, info.container.suffix),
            mime_type=MIME_TYPES.get(info.container.suffix),
            sha256=fetched.sha256,
        )
    )
    track = NewTrack(stored, stem=None, duration_s=duration_s)
    return await job.insist(lambda: context.store.leases.add_source(claim, track))


async def _measured_s(job: Job, path: Path) -> float:
    """How long audio is whose header does not say: decoded, it tells.

    Raises:
        AudioError: it cannot be used.
        Cancelled: the job was told to stop.
    """
    job.progress.report("measuring", 0.0)
    audio = await asyncio.to_thread(
        decode,
        path,
        job.scratch,
        job.context.settings.decode_limits,
        lambda _: job.progress.report("measuring", 0.0),  # how far it is, nobody can know
    )
    await asyncio.to_thread(audio.path.unlink)
    return audio.duration_s


def _track(stem: NewStageFile) -> NewTrack:
    return NewTrack(stem.file, stem.stem, stem.duration_s)


async def _note_files(job: Job, song: SongNotes) -> list[NewFile]:
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
