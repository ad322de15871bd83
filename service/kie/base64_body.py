"""The body of a base64 upload: kept on disk while it arrives, then decoded by few at once, so that memory is bounded.

Decoding takes the body, the text in it and the bytes it stands for into memory: about four times the file's size.
"""

import asyncio
import binascii
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from service.api.wording import wrong_field
from service.errors import BadRequest, TooLarge
from service.kie.wire import Base64UploadRequest

MAX_BASE64_BYTES = 20_000_000  # of the decoded file: base64 must be read whole, and files have a better route
_BODY_PER_BYTE = 1.5  # 4/3 for base64; the rest for line breaks, and for "/" that JSON encoders write as "\/"
_MAX_OTHER_BYTES = 100_000  # of a body beside its base64
_N_DECODING = 2  # at once: 20 MB of audio take a sixth of a second
_EXECUTOR = ThreadPoolExecutor(_N_DECODING, thread_name_prefix="base64")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"


def body_limit(max_bytes: int) -> int:
    """Largest body, in bytes, that a file of ``max_bytes`` comes in."""
    return int(max_bytes * _BODY_PER_BYTE) + _MAX_OTHER_BYTES


async def receive_body(chunks: AsyncIterator[bytes], announced: int | None, to: Path, max_bytes: int) -> None:
    """Write a body to disk as it arrives.

    Args:
        announced: its Content-Length, where it has one.
        max_bytes: largest file, decoded.

    Raises:
        TooLarge: it is longer than such a file's can be.
    """
    limit = body_limit(max_bytes)
    if announced is not None and announced > limit:
        raise _too_large(max_bytes)
    n_bytes = 0
    with to.open("wb") as file:
        async for chunk in chunks:
            n_bytes += len(chunk)
            if n_bytes > limit:
                raise _too_large(max_bytes)
            file.write(chunk)


async def decode_body(body: Path, to: Path, max_bytes: int) -> tuple[Base64UploadRequest, str]:
    """Write the file that a received body holds.

    Returns:
        The request, without its data, and the file's SHA-256 in hex.

    Raises:
        BadRequest: malformed; the message names the field.
        TooLarge: the file is longer than ``max_bytes``.
    """
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, _decode, body, to, max_bytes)


def _decode(body: Path, to: Path, max_bytes: int) -> tuple[Base64UploadRequest, str]:
    try:
        upload = msgspec.json.decode(body.read_bytes(), type=Base64UploadRequest)
    except msgspec.ValidationError as error:
        found = wrong_field(str(error))
        raise BadRequest(found[1] if found else "The body must be a JSON object with base64Data.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    data, upload.base64_data = upload.base64_data, None
    content = decode_base64(data or "")
    if len(content) > max_bytes:
        raise _too_large(max_bytes)
    to.write_bytes(content)
    return upload, hashlib.sha256(content).hexdigest()


def decode_base64(text: str) -> bytes:
    """What base64 stands for, as clients in the field write it: with or without padding, line breaks, or the head of a
    data URL, in either alphabet.

    Raises:
        BadRequest: it is no base64, or empty.
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise BadRequest("base64Data is a data URL without ';base64,': only base64 is taken.")
    try:
        digits = text.encode("ascii").translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
        content = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadRequest(f"base64Data is not valid base64: {error}.") from error
    if not content:
        raise BadRequest("base64Data is required: the file as base64, or as a data URL.")
    return content


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"The file is larger than base64Data may hold, {max_bytes / 1e6:g} MB; send it to /api/file-stream-upload."
    )
