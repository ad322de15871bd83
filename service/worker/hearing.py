"""Notes, key and tempo of audio that may be a song or a single instrument."""

import asyncio
from dataclasses import replace

from pipeline.notes_csv import write_note_events
from pipeline.recognition_modes import AUTO, STEMS, mode_of
from service.db.models import Queue
from service.digests import AUDIO_TO_MIDI, KEY_BPM, RECOGNITION
from service.errors import NotFound
from service.music import music_heard, stored_music
from service.store.records import NewFile, NewStageFile, Outcome, TrackFile
from service.worker.job import Job, new_file
from service.worker.sources import SOURCE_GONE, source_of
from service.worker.stages import Stored, heard, heard_before, outcome_of, separated

# Of the job's time, of a song on a CPU.
_RECOGNITION_SHARE = 0.05
_SEPARATION_SHARE = 0.8
_SONIFICATION_SHARE = 0.1
SONIFIED, NOTE_EVENTS = "sonified", "note_events"  # roles of files


async def audio_to_midi(job: Job) -> Outcome:
    """Notes of a song's stems, or of a single instrument as it is; played and listed, if so wished.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: the rest is for a worker of another queue.
    """
    params = job.claim.task.params
    source = await source_of(job)
    stage = (AUDIO_TO_MIDI, job.digests.audio_to_midi(source.file.sha256, params, job.pipeline.soundfont))
    # With what notes are played, only workers that play them know.
    if not params["sonify"] or Queue.MIDI in job.queues:
        before = await job.result_before(*stage)
        if before is not None:
            return heard_before(*before, stage)
    mode = params["mode"]
    if mode == AUTO:
        stem = await _recognised(job, source)
    else:
        stem = STEMS.get(mode)
        job.progress.skip(_RECOGNITION_SHARE)
    share = 1 - _RECOGNITION_SHARE - _SONIFICATION_SHARE
    if stem is None:
        stems = await separated(job, source, None, _SEPARATION_SHARE)
        files = {made.stem or "": Stored(made.file.storage_key, made.file.sha256) for made in stems}
        share -= _SEPARATION_SHARE
    else:
        files = {stem: Stored(source.file.storage_key, source.file.sha256)}
    song = await heard(job, files, None, share)
    extra: list[NewFile] = []
    if params["sonify"]:
        out = job.scratch / "song.wav"
        with job.progress.part(SONIFIED, _SONIFICATION_SHARE):
            played = await asyncio.to_thread(
                job.pipeline.sonify,
                song.heard.instruments,
                song.heard.duration_s,
                out,
                on_progress=job.progress.report,
            )
        extra.append(await job.keep(played.path, SONIFIED))
    if params["note_events"]:
        listed = job.scratch / "note_events.csv"
        await asyncio.to_thread(write_note_events, song.heard.instruments, listed)
        extra.append(await job.keep(listed, NOTE_EVENTS))
    made = await outcome_of(job, song, stage)
    music = {
        **(made.music or {}),
        "mode": mode_of(stem),
        **({"soundfont": played.soundfont} if params["sonify"] else {}),
    }
    return replace(made, files=[*made.files, *extra], music=music)


async def _recognised(job: Job, source: TrackFile) -> str | None:
    """The stem that audio of a single instrument is; None where it is a song.

    What was found is kept as a stage: of a single instrument it has the source as its one file.
    """
    digest = job.digests.recognition(source.file.sha256)
    found = await job.made_before(RECOGNITION, digest)
    if found is not None:
        job.progress.skip(_RECOGNITION_SHARE)
        return found[0].stem if found else None
    job.needs(Queue.SEPARATION)
    path = await job.local(source.file.storage_key)
    with job.progress.part(RECOGNITION, _RECOGNITION_SHARE):
        recognised = await asyncio.to_thread(
            job.pipeline.recognise, path, scratch=job.scratch, on_progress=job.progress.report
        )
    files = []
    if recognised.stem is not None:
        if not await job.share([source.file.storage_key]):
            raise NotFound(SOURCE_GONE)
        files = [NewStageFile(replace(new_file(source.file), role="stem"), recognised.stem)]
    await job.insist(lambda: job.context.store.stages.finish(job.claim, RECOGNITION, digest, files))
    return recognised.stem


async def key_and_bpm(job: Job) -> Outcome:
    """Key, its changes, and tempo of audio.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: this is for a worker of another queue.
    """
    source = await source_of(job)
    digest = job.digests.key_bpm(source.file.sha256)
    if (before := await job.result_before(KEY_BPM, digest)) is not None:
        task = before[0].task
        return Outcome(audio_s=task.audio_s, music=task.music, stage=(KEY_BPM, digest))
    job.needs(Queue.MIDI)
    path = await job.local(source.file.storage_key)
    with job.progress.part(KEY_BPM):
        found = await asyncio.to_thread(
            job.pipeline.tempo_and_key, path, scratch=job.scratch, on_progress=job.progress.report
        )
    await job.learn(KEY_BPM, found.duration_s)
    return Outcome(audio_s=found.duration_s, music=stored_music(music_heard(found)), stage=(KEY_BPM, digest))
