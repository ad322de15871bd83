"""Audio in another format, a part of it, or its speed changed: one way through the pipeline for all three."""

import asyncio
from dataclasses import replace

from pipeline.conversion.convert import convert
from pipeline.conversion.formats import FORMATS, Target
from service.db.models import File, Queue, TaskKind
from service.limits import limits_of
from service.names import converted_name
from service.store.records import Outcome
from service.worker.job import Job
from service.worker.sources import source_of

CONVERTED = "converted"  # role of the file


async def convert_audio(job: Job) -> Outcome:
    """The task's source as one file.

    Raises:
        AudioError: the source cannot be used.
        UnsupportedTarget: the format cannot hold the audio.
        InvalidSpan: the audio is shorter than the part that is wanted.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: this is for a worker of another queue.
    """
    task = job.claim.task
    kind, params = TaskKind(task.kind), task.params
    source = await source_of(job)
    target = Target(params.get("format") or own_format(source.file), params.get("rate_hz"), params.get("bits"))
    suffix = FORMATS[target.format].suffix
    name: str = params.get("name") or converted_name(source.file.name, suffix)
    file_id: str | None = params.get("file_id")
    digest = job.digests.conversion(kind, source.file.sha256, params)
    if (before := await job.result_before(kind, digest)) is not None:
        record, files = before
        return Outcome(files=[replace(file, name=name, id=file_id) for file in files], audio_s=record.task.audio_s)
    job.needs(Queue.IO)
    path, out = await job.local(source.file.storage_key), job.scratch / f"converted{suffix}"
    span_ms = params.get("span_ms")
    with job.progress.part(kind):
        made = await asyncio.to_thread(
            convert,
            path,
            out,
            target,
            span_ms=None if span_ms is None else (span_ms[0], span_ms[1]),
            tempo=params.get("tempo", 1.0),
            scratch=job.scratch,
            limits=limits_of(kind, job.context.settings),
            on_progress=job.progress.report,
        )
    await job.learn(kind, made.duration_s)
    kept = await job.keep(out, CONVERTED, name)
    return Outcome(files=[replace(kept, id=file_id)], audio_s=task.audio_s, stage=(kind, digest))


def own_format(file: File) -> str:
    """The target format that audio is in already, or is nearest to: lossless stays lossless, and AAC stays AAC."""
    by_type = {item.mime_type: name for name, item in FORMATS.items()}
    near = {"audio/mp4": "aac", "audio/x-matroska": "webm", "audio/x-ms-wma": "mp3"}
    return by_type.get(file.mime_type) or near.get(file.mime_type, "wav")
