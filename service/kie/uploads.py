"""The Kie upload routes: a file, an address or base64 becomes a track that can be separated at once."""

import uuid
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from litestar import Router, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from service.api.auth import Caller
from service.api.checks import check_url
from service.api.documentation import reads
from service.api.errors import MAX_JSON_BYTES, handlers, upload_answer
from service.api.gate import guards
from service.api.incoming import FORM_OVERHEAD_BYTES, scratch_file, stored_source
from service.api.injection import Injected, KeyRequest
from service.api.multipart import receive
from service.context import Context
from service.errors import Invalid
from service.kie.base64_body import MAX_BASE64_BYTES, body_limit, decode_body, receive_body
from service.kie.fields import MAX_NAME_LENGTH
from service.kie.wire import Base64UploadRequest, UploadAnswer, UploadedFile, UploadForm, UrlUploadRequest
from service.names import clean_folder, clean_name
from service.net.fetch import fetch

_FETCH_TIMEOUT_S = 30.0


def _check_names(upload_path: str | None, file_name: str | None) -> None:
    """Refuse what would be kept with the task, or shown again, and is longer than any path.

    Raises:
        Invalid: one of the two is too long.
    """
    for field, value in (("uploadPath", upload_path), ("fileName", file_name)):
        if len(value or "") > MAX_NAME_LENGTH:
            raise Invalid(f"{field} is longer than {MAX_NAME_LENGTH} characters.", field=field)


async def _keep(
    path: Path, *, name: str, upload_path: str | None, sha256: str, caller: Caller, context: Context
) -> UploadAnswer:
    """Check that a received file is audio we take, store it, and answer with its track."""
    task_id, folder = caller.task_id or uuid.uuid4().hex, clean_folder(upload_path or "")
    async with stored_source(path, task_id=task_id, name=name, sha256=sha256, context=context) as track:
        record = await context.store.tasks.create_upload(
            key_id=caller.key.id, task_id=task_id, track=track, params={"upload_path": folder}
        )
    file, created = record.tracks[0].file, record.task.created_ms
    uploaded = UploadedFile(
        success=True,
        file_name=file.name,
        file_path=str(PurePosixPath(folder) / file.name),
        download_url=context.links.to(file, record.task.expires_ms),
        file_size=file.size_bytes,
        mime_type=file.mime_type,
        uploaded_at=datetime.fromtimestamp(created / 1000, UTC).isoformat().replace("+00:00", "Z"),
        task_id=task_id,
        audio_id=record.tracks[0].track.id,
    )
    return UploadAnswer(True, 200, "File uploaded successfully", uploaded)


@post(
    "/file-stream-upload",
    status_code=HTTP_200_OK,
    summary="Upload a file (multipart)",
    operation_class=reads(form=UploadForm),
)
async def upload_stream(request: KeyRequest, context: Injected) -> UploadAnswer:
    """Multipart ``file``, ``uploadPath`` and, optionally, ``fileName``; streamed to disk."""
    async with scratch_file(context) as path:
        form = await receive(
            request.stream(),
            request.headers.get("content-type", ""),
            file_field="file",
            to=path,
            max_bytes=context.settings.max_upload_bytes,
        )
        file_name, upload_path = form.fields.get("fileName"), form.fields.get("uploadPath")
        _check_names(upload_path, file_name)
        name = clean_name(file_name, form.file_name)
        return await _keep(
            path, name=name, upload_path=upload_path, sha256=form.sha256, caller=request.user, context=context
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
    _check_names(data.upload_path, data.file_name)
    await check_url("fileUrl", data.file_url, context)
    async with scratch_file(context) as path:
        fetched = await fetch(
            data.file_url,
            path,
            allow=context.settings.allow_addresses,
            max_bytes=context.settings.max_upload_bytes,
            timeout_s=_FETCH_TIMEOUT_S,
        )
        name = clean_name(data.file_name, fetched.name)
        return await _keep(
            path, name=name, upload_path=data.upload_path, sha256=fetched.sha256, caller=request.user, context=context
        )


@post(
    "/file-base64-upload",
    status_code=HTTP_200_OK,
    summary="Upload a file as base64",
    operation_class=reads(json=Base64UploadRequest),
    request_max_body_size=body_limit(MAX_BASE64_BYTES) + FORM_OVERHEAD_BYTES,
)
async def upload_base64(request: KeyRequest, context: Injected) -> UploadAnswer:
    """Take ``base64Data``: base64 or a data URL, of at most 20 MB of audio."""
    max_bytes = min(MAX_BASE64_BYTES, context.settings.max_upload_bytes)
    async with scratch_file(context) as body, scratch_file(context) as path:
        await receive_body(request.stream(), request.content_length, body, max_bytes)
        upload, sha256 = await decode_body(body, path, max_bytes)
        _check_names(upload.upload_path, upload.file_name)
        return await _keep(
            path,
            name=clean_name(upload.file_name),
            upload_path=upload.upload_path,
            sha256=sha256,
            caller=request.user,
            context=context,
        )


def upload_router(max_upload_bytes: int) -> Router:
    """The upload routes; the framework's own body limit stands just above ours, which names itself."""
    return Router(
        "/api",
        route_handlers=[upload_stream, upload_url, upload_base64],
        middleware=guards(),
        exception_handlers=handlers(upload_answer),
        request_max_body_size=max_upload_bytes + FORM_OVERHEAD_BYTES,
        security=[{"BearerToken": []}],
        tags=["kie"],
    )
