"""What each kind of task does: from its source file to an :class:`Outcome`, with nothing written to the database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from pipeline.audio.sniff import sniff
from pipeline.notes import Instrument
from pipeline.song import SongPipeline
from service.context import Context
from service.db.models import TaskKind
from service.errors import NotFound
from service.net.fetch import fetch
from service.notes import wire_notes
from service.storage import task_key
from service.store.records import Claim, NewFile, NewNotes, NewTrack, Outcome, TrackFile
from service.worker.progress import JobProgress

_FETCH_TIMEOUT_S = 300.0
_SOURCE_GONE = "The source audio no longer exists."

Job = Callable[[Context, SongPipeline, Claim, Path, JobProgress], Awaitable[Outcome]]


async def separate(
    context: Context, pipeline: SongPipeline, claim: Claim, scratch: Path, progress: JobProgress
) -> Outcome:
    """Stems of the task's source, each stored as a track.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        Cancelled: the job was told to stop.
    """
    source = await _source(context, claim, scratch, progress)
    stems = await asyncio.to_thread(
        pipeline.separate,
        context.storage.path(source.file.storage_key),
        scratch / "stems",
        two_stems=claim.task.params["type"] == "separate_vocal",
        scratch=scratch,
        on_progress=progress.report,
    )
    tracks = []
    for stem in stems:
        stored = await asyncio.to_thread(_put, context, claim, stem.path, "stem")
        tracks.append(NewTrack(stored, stem=stem.name, duration_s=stem.duration_s))
    return Outcome(tracks=tracks)


async def transcribe(
    context: Context, pipeline: SongPipeline, claim: Claim, scratch: Path, progress: JobProgress
) -> Outcome:
    """Notes of the stems of a finished separation, as rows and as files.

    Raises:
        NotFound: the stems are gone.
        Cancelled: the job was told to stop.
    """
    wanted: str | None = claim.task.params.get("audio_id")
    tracks = [
        item
        for item in await context.store.tasks.tracks(claim.task.parent_task_id or "")
        if item.track.stem and wanted in (None, item.track.id)
    ]
    if not tracks:
        raise NotFound(_SOURCE_GONE)
    by_stem = {item.track.stem or "": item for item in tracks}
    stems = {name: context.storage.path(item.file.storage_key) for name, item in by_stem.items()}
    song = await asyncio.to_thread(
        pipeline.transcribe, stems, scratch / "notes", scratch=scratch, on_progress=progress.report
    )
    files = [
        await asyncio.to_thread(_put, context, claim, path, role)
        for role, path in (("midi", song.midi), ("csv", song.csv), *(("stem_midi", p) for p in song.stem_midi.values()))
    ]
    instruments = [_notes(instrument, by_stem[instrument.stem].track.id) for instrument in song.instruments]
    return Outcome(files=files, instruments=instruments)


JOBS: dict[TaskKind, Job] = {TaskKind.SEPARATION: separate, TaskKind.MIDI: transcribe}


async def _source(context: Context, claim: Claim, scratch: Path, progress: JobProgress) -> TrackFile:
    """The task's source, fetched first where the client gave an address."""
    task = claim.task
    source = await context.store.tasks.track(task.source_track_id or "")
    if source is not None:
        return source
    url: str | None = task.params.get("audio_url")
    if url is None:
        raise NotFound(_SOURCE_GONE)
    progress.report("fetching", 0.0)
    path = scratch / "source"
    fetched = await progress.unless_stopped(
        fetch(
            url,
            path,
            allow=context.settings.allow_addresses,
            max_bytes=context.settings.max_upload_bytes,
            timeout_s=_FETCH_TIMEOUT_S,
        )
    )
    key = task_key(task.id, f"source-{claim.fence}{sniff(path).suffix}")
    stored = await asyncio.to_thread(
        context.storage.put, path, key=key, role="source", name=fetched.name, sha256=fetched.sha256
    )
    return await context.store.leases.add_source(claim, NewTrack(stored, stem=None, duration_s=None))


def _put(context: Context, claim: Claim, path: Path, role: str) -> NewFile:
    """Store a result under the claim's fence, so that what a dead claim left is known by its number."""
    return context.storage.put(path, key=task_key(claim.task.id, claim.fence, path.name), role=role, name=path.name)


def _notes(instrument: Instrument, track_id: str) -> NewNotes:
    return NewNotes(
        track_id=track_id,
        name=instrument.name,
        program=instrument.program,
        is_drum=instrument.is_drum,
        stem=instrument.stem,
        notes=wire_notes(instrument),
    )
