"""What each kind of task does: from its source file to an :class:`Outcome`, with nothing written to the database."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audio.decode import decode
from pipeline.audio.probe import probe
from pipeline.notes import Instrument
from pipeline.song import SongPipeline
from pipeline.song_notes import SongNotes
from pipeline.transcription.choices import AUTO
from service.context import Context
from service.db.models import TaskKind
from service.errors import NotFound, ServiceError
from service.music import music_of, stored_music
from service.names import clean_name, with_suffix
from service.net.fetch import fetch
from service.notes import encoded_notes, wire_confidence
from service.storage import task_key
from service.store.records import Claim, NewFile, NewNotes, NewTrack, Outcome, TrackFile
from service.worker.progress import JobProgress

if TYPE_CHECKING:
    from pipeline.separation.stems import StemFile

_FETCH_TIMEOUT_S = 300.0
_SOURCE_GONE = "The source audio no longer exists."
SEPARATION, TRANSCRIPTION, WAV = "separation", "transcription", "wav"  # stages whose speed is kept
_SEPARATION_SHARE = 0.9  # of a whole song's time, before anything was measured


@dataclass(frozen=True, slots=True)
class Job:
    """One task being done.

    Attributes:
        pipeline: resident models; used from one thread at a time.
        scratch: a folder of the claim's own.
    """

    context: Context
    pipeline: SongPipeline
    claim: Claim
    scratch: Path
    progress: JobProgress


async def separate(job: Job) -> Outcome:
    """Stems of the task's source, each stored as a track.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
    """
    params = job.claim.task.params
    only = "vocals" if params["type"] == "separate_vocal" else params.get("stem")
    source = await _source(job)
    with job.progress.part(SEPARATION):
        stems = await _separate(job, source, only)
    tracks = [await _stem_track(job, stem) for stem in stems]
    return Outcome(tracks=tracks, audio_s=stems[0].duration_s)


async def transcribe(job: Job) -> Outcome:
    """Notes of the stems of a finished separation, as rows and as files.

    Raises:
        NotFound: the stems are gone.
        Cancelled: the job was told to stop.
    """
    task = job.claim.task
    audio_id: str | None = task.params.get("audio_id")
    tracks = [item for item in await job.context.store.tasks.tracks(task.parent_task_id or "") if item.track.stem]
    ids = {item.track.stem or "": item.track.id for item in tracks}
    stems = {item.track.stem or "": job.context.storage.path(item.file.storage_key) for item in tracks}
    wanted = [stem for stem, track_id in ids.items() if audio_id in (None, track_id)]
    if not wanted:
        raise NotFound(_SOURCE_GONE)
    with job.progress.part(TRANSCRIPTION):
        song = await _transcribe(job, stems, wanted)
    return Outcome(
        files=await _note_files(job, song),
        instruments=[_notes(instrument, ids[instrument.stem]) for instrument in song.heard.instruments],
        audio_s=song.heard.duration_s,
        music=stored_music(music_of(song.heard)),
    )


async def transcribe_song(job: Job) -> Outcome:
    """Everything of a song in one task: its stems and their notes.

    Raises:
        AudioError: the source cannot be used.
        SourceFetchFailed, TooLarge: the source's address does not give it.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
    """
    params = job.claim.task.params
    source = await _source(job)
    share = await _separation_share(job.context)
    with job.progress.part(SEPARATION, share):
        stems = await _separate(job, source, None)
    with job.progress.part(TRANSCRIPTION, 1 - share):
        song = await _transcribe(job, {stem.name: stem.path for stem in stems}, params["instruments"])
    kept = [stem for stem in stems if stem.name in (params["stems"] or [stem.name])]
    return Outcome(
        tracks=[await _stem_track(job, stem) for stem in kept],
        files=await _note_files(job, song),
        instruments=[_notes(instrument, None) for instrument in song.heard.instruments],
        audio_s=stems[0].duration_s,
        music=stored_music(music_of(song.heard)),
    )


async def to_wav(job: Job) -> Outcome:
    """The task's source as a WAV file.

    Raises:
        AudioError: the source cannot be used.
        PaymentRequired: the credits do not suffice for audio of its length.
        Cancelled: the job was told to stop.
    """
    source = await _source(job)
    out = job.scratch / "audio.wav"  # a name that clients chose is for people, not for paths
    with job.progress.part(WAV):
        wav = await asyncio.to_thread(
            job.pipeline.to_wav,
            job.context.storage.path(source.file.storage_key),
            out,
            scratch=job.scratch,
            on_progress=job.progress.report,
        )
    name = clean_name(f"{Path(source.file.name).stem}.wav")
    return Outcome(files=[await _put(job, out, "wav", name)], audio_s=wav.duration_s)


JOBS: dict[TaskKind, Callable[[Job], Awaitable[Outcome]]] = {
    TaskKind.SEPARATION: separate,
    TaskKind.MIDI: transcribe,
    TaskKind.TRANSCRIPTION: transcribe_song,
    TaskKind.WAV: to_wav,
}


async def _separate(job: Job, source: TrackFile, only: str | None) -> "tuple[StemFile, ...]":
    return await asyncio.to_thread(
        job.pipeline.separate,
        job.context.storage.path(source.file.storage_key),
        job.scratch / "stems",
        only=only,
        scratch=job.scratch,
        on_progress=job.progress.report,
    )


async def _transcribe(job: Job, stems: dict[str, Path], wanted: Collection[str] | None) -> SongNotes:
    return await asyncio.to_thread(
        job.pipeline.transcribe,
        stems,
        job.scratch / "notes",
        wanted=wanted,
        transcriber=job.claim.task.params.get("transcriber", AUTO),
        scratch=job.scratch,
        on_progress=job.progress.report,
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
            audio_s = await _measured_s(job, context.storage.path(source.file.storage_key))
        await context.store.leases.add_length(claim, audio_s)
    return source


async def _fetched(job: Job) -> TrackFile:
    """The source that the client gave an address of, recorded under the id its task promised."""
    context, claim = job.context, job.claim
    task = claim.task
    url: str | None = task.params.get("audio_url")
    if url is None:
        raise NotFound(_SOURCE_GONE)
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
    key = task_key(task.id, f"source-{claim.fence}{info.container.suffix}")
    name = with_suffix(fetched.name, info.container.suffix)
    stored = await asyncio.to_thread(
        context.storage.put, path, key=key, role="source", name=name, sha256=fetched.sha256
    )
    try:
        return await context.store.leases.add_source(claim, NewTrack(stored, stem=None, duration_s=duration_s))
    except ServiceError:  # refused, so no row will ever tell of this file
        await asyncio.to_thread(context.storage.delete, key)
        raise


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


async def _put(job: Job, path: Path, role: str, name: str | None = None) -> NewFile:
    """Store a result under the claim's fence, so that what a dead claim left is known by its number.

    Args:
        name: the name clients see, where it is not the file's own.
    """
    key = task_key(job.claim.task.id, job.claim.fence, path.name)
    return await asyncio.to_thread(job.context.storage.put, path, key=key, role=role, name=name or path.name)


async def _stem_track(job: Job, stem: "StemFile") -> NewTrack:
    return NewTrack(await _put(job, stem.path, "stem"), stem=stem.name, duration_s=stem.duration_s)


async def _note_files(job: Job, song: SongNotes) -> list[NewFile]:
    files = {
        "midi": song.midi,
        "csv": song.csv,
        "musicxml": song.score,
        "piano_roll": song.piano_roll,
        "preview": song.preview,
        "beats": song.beats_json,
    }
    stored = [await _put(job, path, role) for role, path in files.items()]
    return stored + [await _put(job, path, "stem_midi") for path in song.stem_midi.values()]


def _notes(instrument: Instrument, track_id: str | None) -> NewNotes:
    return NewNotes(
        track_id=track_id,
        name=instrument.name,
        program=instrument.program,
        is_drum=instrument.is_drum,
        stem=instrument.stem,
        confidence=wire_confidence(instrument.confidence),
        notes=encoded_notes(instrument),
    )
