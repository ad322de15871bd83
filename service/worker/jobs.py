"""What each kind of task does: from its source file to an :class:`Outcome`.

A stage that is done is recorded for good, with its files; everything else is written by the worker, at the end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from service.db.models import Queue, TaskKind
from service.digests import WAV, only_stem, wanted_stems
from service.errors import NotFound
from service.names import converted_name
from service.store.records import NewStageFile, NewTrack, Outcome
from service.store.tasks import stems_of
from service.worker.conversions import convert_audio
from service.worker.hearing import audio_to_midi, key_and_bpm
from service.worker.job import Job
from service.worker.sources import SOURCE_GONE, source_of
from service.worker.stages import Stored, extracted, separated, separation_share, transcribed


async def separate(job: Job) -> Outcome:
    """Stems of the task's source, each stored as a track.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: the rest is for a worker of another queue.
    """
    stems = await separated(job, await source_of(job), only_stem(TaskKind.SEPARATION, job.claim.task.params), 1.0)
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
        raise NotFound(SOURCE_GONE)
    files = {name: Stored(item.file.storage_key, item.file.sha256) for name, item in stems.items()}
    heard = await transcribed(job, files, wanted, 1.0)
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
    source = await source_of(job)
    share = await separation_share(job.context)
    stems = await separated(job, source, None, share)
    files = {stem.stem or "": Stored(stem.file.storage_key, stem.file.sha256) for stem in stems}
    heard = await transcribed(job, files, params["instruments"], 1 - share)
    kept = [stem for stem in stems if stem.stem in (params["stems"] or [stem.stem])]
    return replace(heard, tracks=[_track(stem) for stem in kept], audio_s=stems[0].duration_s)


async def extract(job: Job) -> Outcome:
    """The stems that are asked for by name, ``instrumental`` among them, each stored as a track.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: the rest is for a worker of another queue.
    """
    stems = await extracted(job, await source_of(job), job.claim.task.params["stems"])
    return Outcome(tracks=[_track(stem) for stem in stems], audio_s=stems[0].duration_s)


async def to_wav(job: Job) -> Outcome:
    """The task's source as a WAV file.

    Raises:
        AudioError: the source cannot be used.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: this is for a worker of another queue.
    """
    source = await source_of(job)
    name = converted_name(source.file.name, ".wav")
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
    TaskKind.AUDIO_TO_MIDI: audio_to_midi,
    TaskKind.EXTRACTION: extract,
    TaskKind.KEY_BPM: key_and_bpm,
    TaskKind.CONVERSION: convert_audio,
    TaskKind.CUT: convert_audio,
    TaskKind.SPEED: convert_audio,
}


def _track(stem: NewStageFile) -> NewTrack:
    return NewTrack(stem.file, stem.stem, stem.duration_s)
