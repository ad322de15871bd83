"""Stored files by signed link, with byte ranges, so that players seek and broken downloads go on."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from litestar import MediaType, Request, Response, Router, route
from litestar.enums import HttpMethod
from litestar.exceptions import ValidationException
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_206_PARTIAL_CONTENT,
    HTTP_304_NOT_MODIFIED,
    HTTP_307_TEMPORARY_REDIRECT,
)

from service.api.checks import is_expired
from service.api.errors import problem_answer
from service.api.etags import etag_matches
from service.api.injection import Injected
from service.archive import Member, StoredZip
from service.context import Context
from service.db.models import File
from service.errors import NotFound, RangeNotSatisfiable
from service.links import FILES_PATH, STEMS_ZIP
from service.store.records import TrackFile

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")  # longer numbers are nonsense, and slow to read
_LINK_S = 300  # of a presigned link; what was begun within that time goes on
GONE = "This link is not valid; or its file is not there yet, or has expired."


class UnsatisfiableRange(Exception):
    """The asked range lies outside the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The one range that a Range header asks for, as (first, last) byte; None for the whole file.

    Several ranges, other units and malformed headers are answered with the whole file, as RFC 9110 (14.2) allows.

    Raises:
        UnsatisfiableRange: well-formed, but outside the file.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size - 1
        satisfiable = int(last) > 0 and size > 0
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
        if last and int(last) < int(first):
            return None
        satisfiable = start < size
    if not satisfiable:
        raise UnsatisfiableRange
    return start, end


@dataclass(frozen=True, slots=True)
class Download:
    """What is to be sent.

    Attributes:
        name: the name that clients save it under.
        etag: a strong one.
        read: gives its bytes, from the first of two numbers on as many as the second says.
        link: where the storage itself gives them, for ``GET`` or ``HEAD`` as asked for; None where it does not.
    """

    name: str
    media_type: str
    size_bytes: int
    etag: str
    read: Callable[[int, int], AsyncIterator[bytes]]
    link: Callable[[str], Awaitable[str | None]]


async def file_download(file: File, context: Context) -> Download:
    """A stored file.

    Raises:
        NotFound: its bytes are gone.
    """
    storage = context.storage
    if not await storage.exists(file.storage_key):  # lost, or its task deleted just now
        raise NotFound(GONE)

    async def link(method: str) -> str | None:
        return await storage.link(
            file.storage_key, name=file.name, mime_type=file.mime_type, seconds=_LINK_S, method=method
        )

    read = partial(storage.read, file.storage_key)
    return Download(file.name, file.mime_type, file.size_bytes, f'"{file.sha256[:32]}"', read, link)


async def stems_download(stems: Sequence[TrackFile], context: Context) -> Download:
    """All stems of a task in one archive.

    Raises:
        NotFound: there are none, or their bytes are gone.
    """
    files = [item.file for item in stems]
    members = [Member(file.name, file.storage_key, file.size_bytes, file.sha256, file.created_ms) for file in files]
    archive = StoredZip(members, context.storage)
    if not members or not await archive.is_readable():
        raise NotFound(GONE)
    etag = f'"{archive.digest[:32]}"'
    return Download(STEMS_ZIP, "application/zip", archive.size_bytes, etag, archive.read, _nowhere)


async def _nowhere(_method: str) -> None:
    """For what lies in no storage as it is."""


@route(
    "/{file_id:str}/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD], status_code=HTTP_200_OK,
    summary="Download a file by its signed link",
)  # fmt: skip
async def download(
    request: Request[Any, Any, Any],
    context: Injected,
    file_id: Annotated[str, PathParameter(description="The file's id; of stems.zip, the task's.")],
    name: Annotated[str, PathParameter(description="The file's name.")],
    exp: Annotated[int, QueryParameter(description="When the link ends, in Unix seconds.")],
    sig: Annotated[str, QueryParameter(description="The link's signature.")],
) -> Response[Any]:
    """Bytes of a file that a link of ours points to: 200 or 206 with them, 304, 404, 416, or 307 to where they are."""
    if not context.secrets.link_is_ours(file_id, exp, sig) or exp * 1000 <= context.clock.now_ms():
        raise NotFound(GONE)
    found = await context.store.tasks.file(file_id)
    if found is not None and found[0].name == name and not is_expired(found[1], context):
        return await send(request, await file_download(found[0], context))
    if name != STEMS_ZIP:
        raise NotFound(GONE)
    stems = [item for item in await context.store.tasks.tracks(file_id) if item.track.stem is not None]
    return await send(request, await stems_download(stems, context))


async def send(request: Request[Any, Any, Any], download: Download) -> Response[Any]:
    """200 or 206 with the bytes that are asked for, 304, or 307 to the storage; to HEAD, the headers of these.

    Raises:
        RangeNotSatisfiable: the bytes that are asked for lie outside the file.
    """
    headers = {
        "ETag": download.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(download.name)}",
        "X-Content-Type-Options": "nosniff",
    }
    if etag_matches(request.headers.get("if-none-match"), download.etag):
        return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    if (address := await download.link(request.method)) is not None:
        redirect = {"Location": address, "Cache-Control": "no-store", "ETag": download.etag}
        return Response(b"", status_code=HTTP_307_TEMPORARY_REDIRECT, headers=redirect, media_type=MediaType.TEXT)
    if_range = request.headers.get("if-range")
    wanted = request.headers.get("range") if if_range in (None, download.etag) else None
    try:
        span = parse_range(wanted, download.size_bytes)
    except UnsatisfiableRange:
        raise RangeNotSatisfiable(download.size_bytes) from None
    start, end = span or (0, download.size_bytes - 1)
    n_bytes = end - start + 1
    headers["Content-Length"] = str(n_bytes)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end}/{download.size_bytes}"
    body = download.read(start, 0 if request.method == HttpMethod.HEAD else n_bytes)
    status = HTTP_200_OK if span is None else HTTP_206_PARTIAL_CONTENT
    return Stream(body, status_code=status, headers=headers, media_type=download.media_type)


def files_router() -> Router:
    """The routes of stored files; the link's signature is all the authorisation they need."""
    return Router(
        FILES_PATH, route_handlers=[download], exception_handlers={ValidationException: _broken_link}, tags=["files"]
    )


def _broken_link(request: Request[Any, Any, Any], _: Exception) -> Response[Any]:
    """A link that has lost its signature, or a part of it, is no more valid than one with a wrong one."""
    return problem_answer(request, NotFound(GONE))
