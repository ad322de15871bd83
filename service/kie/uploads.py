"""The Kie upload routes: a file or an address becomes a track that can be separated at once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from litestar import Router, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from pipeline.audio.probe import probe
from service.api.auth import KeyAuthentication
from service.api.errors import MAX_JSON_BYTES, handlers, upload_answer
from service.api.injection import Injected, KeyRequest
from service.api.multipart import receive
from service.context import Context
from service.db.models import ApiKey
from service.errors import Invalid
from service.kie.requests import check_url
from service.kie.wire import UploadAnswer, UploadedFile, UrlUploadRequest
from service.net.fetch import fetch
from service.storage import task_key
from service.store.records import NewTrack

_FETCH_TIMEOUT_S = 30.0
_FORM_OVERHEAD_BYTES = 1_000_000
_MAX_NAME_LENGTH = 200


@asynccontextmanager
async def _scratch_file(context: Context) -> AsyncIterator[Path]:
    """A path in the scratch folder whose file, if it is still there at the end, is deleted."""
    path = context.storage.scratch_dir / f"upload-{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _clean_name(*candidates: str | None) -> str:
    """The first given name, its last path part only, without control characters."""
    for candidate in candidates:
        name = PurePosixPath((candidate or "").replace("\\", "/")).name
        name = "".join(char for char in name if char.isprintable()).strip()
        if name.strip("."):  # "." and ".." would change the path of the file's link
            return name[-_MAX_NAME_LENGTH:]
    return "audio"


async def _keep(
    path: Path, *, name: str, upload_path: str | None, sha256: str, key: ApiKey, context: Context
) -> UploadAnswer:
    """Check that a received file is audio we take, store it, and answer with its track."""
    info = await asyncio.to_thread(probe, path, context.settings.decode_limits)
    task_id = uuid.uuid4().hex
    stored_as = task_key(task_id, "source" + info.container.suffix)
    stored = await asyncio.to_thread(context.storage.put, path, key=stored_as, role="source", name=name, sha256=sha256)
    track = NewTrack(stored, stem=None, duration_s=info.duration_s)
    try:
        record = await context.store.tasks.create_upload(
            key_id=key.id, task_id=task_id, track=track, params={"upload_path": upload_path or ""}
        )
    except BaseException:  # a cancelled request too: nobody would ever know of the stored file
        context.storage.delete(stored_as)
        raise
    file, created = record.tracks[0].file, record.task.created_ms
    uploaded = UploadedFile(
        success=True,
        file_name=name,
        file_path=str(PurePosixPath(upload_path or "") / name),
        download_url=context.links.to(file, record.task.expires_ms),
        file_size=file.size_bytes,
        mime_type=file.mime_type,
        uploaded_at=datetime.fromtimestamp(created / 1000, UTC).isoformat().replace("+00:00", "Z"),
        task_id=task_id,
        audio_id=record.tracks[0].track.id,
    )
    return UploadAnswer(True, 200, "File uploaded successfully", uploaded)


@post("/file-stream-upload", status_code=HTTP_200_OK, summary="Upload a file (multipart)")
async def upload_stream(request: KeyRequest, context: Injected) -> UploadAnswer:
    """Multipart ``file``, ``uploadPath`` and, optionally, ``fileName``; streamed to disk."""
    async with _scratch_file(context) as path:
        form = await receive(
            request.stream(),
            request.headers.get("content-type", ""),
            file_field="file",
            to=path,
            max_bytes=context.settings.max_upload_bytes,
        )
        name = _clean_name(form.fields.get("fileName"), form.file_name)
        upload_path = form.fields.get("uploadPath")
        return await _keep(
            path, name=name, upload_path=upload_path, sha256=form.sha256, key=request.user, context=context
        )


@post(
    "/file-url-upload",
    status_code=HTTP_200_OK,
    summary="Upload a file by its address",
    request_max_body_size=MAX_JSON_BYTES,
)
async def upload_url(request: KeyRequest, data: JSONBody[UrlUploadRequest], context: Injected) -> UploadAnswer:
    """Fetch ``fileUrl``, within 30 s."""
    if not data.file_url:
        raise Invalid("fileUrl is required.")
    await check_url("fileUrl", data.file_url, context)
    async with _scratch_file(context) as path:
        fetched = await fetch(
            data.file_url,
            path,
            allow=context.settings.allow_addresses,
            max_bytes=context.settings.max_upload_bytes,
            timeout_s=_FETCH_TIMEOUT_S,
        )
        name = _clean_name(data.file_name, fetched.name)
        return await _keep(
            path, name=name, upload_path=data.upload_path, sha256=fetched.sha256, key=request.user, context=context
        )


def upload_router(max_upload_bytes: int) -> Router:
    """The upload routes; the framework's own body limit stands just above ours, which names itself."""
    return Router(
        "/api",
        route_handlers=[upload_stream, upload_url],
        middleware=[KeyAuthentication],
        exception_handlers=handlers(upload_answer),
        request_max_body_size=max_upload_bytes + _FORM_OVERHEAD_BYTES,
        security=[{"BearerToken": []}],
        tags=["kie"],
    )
