"""Stored files by signed link, with byte ranges, so that players seek and broken downloads go on."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import anyio
from litestar import Request, Response, Router, route
from litestar.enums import HttpMethod
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_206_PARTIAL_CONTENT,
    HTTP_304_NOT_MODIFIED,
    HTTP_416_REQUESTED_RANGE_NOT_SATISFIABLE,
)

from service.api.injection import Injected
from service.db.models import File
from service.errors import NotFound
from service.links import FILES_PATH

_BLOCK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")  # longer numbers are nonsense, and slow to read
_GONE = "This link is not valid, or its file has expired."


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


async def _read(file: anyio.AsyncFile[bytes], start: int, n_bytes: int) -> AsyncIterator[bytes]:
    async with file:
        await file.seek(start)
        while n_bytes > 0 and (block := await file.read(min(_BLOCK_BYTES, n_bytes))):
            n_bytes -= len(block)
            yield block


@route(
    "/{file_id:str}/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD], status_code=HTTP_200_OK,
    summary="Download a file by its signed link",
)  # fmt: skip
async def download(
    request: Request[Any, Any, Any],
    context: Injected,
    file_id: FromPath[str],
    name: FromPath[str],
    exp: Annotated[int, QueryParameter(description="When the link ends, in Unix seconds.")],
    sig: Annotated[str, QueryParameter(description="The link's signature.")],
) -> Response[Any]:
    """Bytes of a file that a link of ours points to: 200 or 206 with them, 304, 404, or 416."""
    if not context.secrets.link_is_ours(file_id, exp, sig) or exp * 1000 <= context.clock.now_ms():
        raise NotFound(_GONE)
    found = await context.store.tasks.file(file_id)
    if found is None or found[0].name != name:
        raise NotFound(_GONE)
    return await _answer(request, found[0], context.storage.path(found[0].storage_key))


async def _answer(request: Request[Any, Any, Any], file: File, path: Path) -> Response[Any]:
    etag = f'"{file.sha256[:32]}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(None, status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    if_range = request.headers.get("if-range")
    wanted = request.headers.get("range") if if_range in (None, etag) else None
    try:
        span = parse_range(wanted, file.size_bytes)
    except UnsatisfiableRange:
        headers["Content-Range"] = f"bytes */{file.size_bytes}"
        return Response(None, status_code=HTTP_416_REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    start, end = span or (0, file.size_bytes - 1)
    n_bytes = end - start + 1
    headers["Content-Length"] = str(n_bytes)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end}/{file.size_bytes}"
    try:
        opened = await anyio.open_file(path, "rb")
    except FileNotFoundError as error:  # deleted just now, its row is next
        raise NotFound(_GONE) from error
    body = _read(opened, start, 0 if request.method == HttpMethod.HEAD else n_bytes)
    status = HTTP_200_OK if span is None else HTTP_206_PARTIAL_CONTENT
    return Stream(body, status_code=status, headers=headers, media_type=file.mime_type)


def files_router() -> Router:
    """The routes of stored files; the link's signature is all the authorisation they need."""
    return Router(FILES_PATH, route_handlers=[download], tags=["files"])
