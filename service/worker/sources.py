"""What a task works on: sent along, or fetched first from where the client said it lies."""

import asyncio
from pathlib import Path

from pipeline.audio.limits import DecodeLimits
from pipeline.audio.probe import probe
from pipeline.audio.stream import open_audio
from service.db.models import Queue, TaskKind
from service.errors import NotFound
from service.limits import limits_of, limits_of_stored
from service.names import with_suffix
from service.net.fetch import Fetched, fetch
from service.storage import MIME_TYPES
from service.store.records import NewTrack, TrackFile
from service.worker.job import Job

SOURCE_GONE = "The source audio no longer exists."
_FETCH_TIMEOUT_S = 300.0


async def source_of(job: Job) -> TrackFile:
    """The task's source, fetched first where the client gave an address; its length is known and paid for then."""
    context, claim = job.context, job.claim
    source = await context.store.tasks.track(claim.task.source_track_id or "")
    if source is None:
        return await _fetched(job)
    if claim.task.audio_s is None:
        if source.track.duration_s is None:
            source.track.duration_s = await _length_s(job, await job.local(source.file.storage_key))
        audio_s = source.track.duration_s
        await job.insist(lambda: context.store.leases.add_length(claim, audio_s))
        claim.task.audio_s = audio_s
    return source


async def _fetched(job: Job) -> TrackFile:
    """The source that the client gave an address of, recorded under the id its task promised."""
    context, claim = job.context, job.claim
    task = claim.task
    if not {"audio_url", "audio_object"} & task.params.keys():
        raise NotFound(SOURCE_GONE)
    job.needs(Queue.IO)
    job.progress.report("fetching", 0.0)
    path = job.scratch / "source"
    fetched = await job.progress.unless_stopped(_fetch(job, path))
    limits = limits_of(TaskKind(task.kind), context.settings)
    info = await asyncio.to_thread(probe, path, limits)
    duration_s = await _measured_s(job, path, limits) if info.duration_s is None else info.duration_s
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


async def _fetch(job: Job, path: Path) -> Fetched:
    context, task = job.context, job.claim.task
    max_bytes = context.settings.max_upload_bytes
    if (address := task.params.get("audio_object")) is not None:
        return await context.source_buckets.fetch(address, path, max_bytes=max_bytes)
    return await fetch(
        task.params["audio_url"],
        path,
        allow=context.settings.allow_addresses,
        max_bytes=max_bytes,
        timeout_s=_FETCH_TIMEOUT_S,
    )


async def _length_s(job: Job, path: Path) -> float:
    """How long stored audio is, by its header or, where that does not say, by what it holds.

    Raises:
        AudioError: it cannot be used.
        Cancelled: the job was told to stop.
    """
    limits = limits_of_stored(TaskKind(job.claim.task.kind), job.context.settings)
    info = await asyncio.to_thread(probe, path, limits)
    return await _measured_s(job, path, limits) if info.duration_s is None else info.duration_s


async def _measured_s(job: Job, path: Path, limits: DecodeLimits) -> float:
    """How long audio is whose header does not say: decoded, it tells.

    Raises:
        AudioError: it cannot be used.
        Cancelled: the job was told to stop.
    """

    def measure() -> float:
        def tick(_fraction: float) -> None:  # how far it is, nobody can know
            job.progress.report("measuring", 0.0)

        with open_audio(path, limits, tick) as stream:
            return sum(len(block) for block in stream.blocks()) / stream.info.rate_hz

    job.progress.report("measuring", 0.0)
    return await asyncio.to_thread(measure)
