"""Audio in another format, a part of it, or its speed changed: one way through the pipeline for all three."""

import asyncio
from dataclasses import replace
from pathlib import Path

from pipeline.audio.info import AudioInfo
from pipeline.audio.probe import probe
from pipeline.audio.sniff import FLAC, OGG
from pipeline.conversion.convert import convert
from pipeline.conversion.formats import check_target
from service.db.models import Queue, TaskKind
from service.limits import limits_of_stored
from service.names import converted_name
from service.store.records import Outcome, TrackFile
from service.worker.job import Job
from service.worker.sources import source_of

CONVERTED = "converted"  # role of the file
_PACKED = ("alac", "ape", "flac", "mlp", "truehd", "tta", "wavpack", "wmalossless")  # lossless, and smaller than PCM


async def convert_audio(job: Job) -> Outcome:
    """The task's source as one file.

    Raises:
        AudioError: the source cannot be used, is shorter than the part that is wanted, or makes too large a file.
        UnsupportedTarget: so short a part is not held by the format.
        EncoderMissing: there is no ffmpeg that writes the format.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
        PassOn: this is for a worker of another queue.
    """
    task, settings = job.claim.task, job.context.settings
    kind, params = TaskKind(task.kind), task.params
    source = await source_of(job)
    stage = (kind, job.digests.conversion(kind, source.file.sha256, params))
    file_id: str | None = params.get("file_id")
    if (before := await job.result_before(*stage)) is not None:
        record, files = before
        named = [replace(file, name=_name(job, source, Path(file.name).suffix), id=file_id) for file in files]
        return Outcome(files=named, audio_s=record.task.audio_s, stage=stage)
    job.needs(Queue.IO)
    limits = limits_of_stored(kind, settings)
    path = await job.local(source.file.storage_key)
    wanted = params.get("format") or own_format(await asyncio.to_thread(probe, path, limits))
    target = check_target(wanted, params.get("rate_hz"), params.get("bits"))
    out = job.scratch / f"converted{target.spec.suffix}"
    span_ms = params.get("span_ms")
    with job.progress.part(kind):
        await asyncio.to_thread(
            convert,
            path,
            out,
            target,
            span_ms=None if span_ms is None else (span_ms[0], span_ms[1]),
            tempo=params.get("tempo", 1.0),
            scratch=job.scratch,
            limits=limits,
            max_bytes=settings.max_output_mb * 1_000_000,
            on_progress=job.progress.report,
        )
    await job.learn(kind, task.audio_s or 0.0)
    kept = await job.keep(out, CONVERTED, _name(job, source, out.suffix))
    return Outcome(files=[replace(kept, id=file_id)], audio_s=task.audio_s, stage=stage)


def own_format(info: AudioInfo) -> str:
    """The target format that audio is in already, or else is nearest to, so that what is lossless stays so."""
    if info.is_lossless:
        return "flac" if info.container == FLAC or info.codec.startswith(_PACKED) else "wav"
    if info.container == OGG:
        return "ogg"
    return {"aac": "aac", "vorbis": "webm", "opus": "webm"}.get(info.codec, "mp3")


def _name(job: Job, source: TrackFile, suffix: str) -> str:
    """What clients see: as it was promised, or the source's name with a suffix of its own."""
    name: str | None = job.claim.task.params.get("name")
    return name or converted_name(source.file.name, suffix)
