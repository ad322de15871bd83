"""Multipart uploads, streamed: the file goes to disk and into its hash as it arrives, fields stay small."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from service.api.wording import cut
from service.errors import BadRequest, TooLarge

_MAX_FIELD_BYTES = 8192
_MAX_PARTS = 32
_MAX_HEADER_BYTES = 4096  # of a part's headers each; one of them has its name and its file's


@dataclass(slots=True)
class StreamedUpload:
    """A received form: its text fields, and the one file that was written to disk.

    Attributes:
        values: the text fields, each with its values in the order of the form.
        file_name: as the client named it; for people, never used as a path.
        has_file: whether the form had it.
        other_files: names of parts that are files, too; these are not read, and their fields are empty.
        size_bytes: bytes written.
        sha256: their digest in hex.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    file_name: str | None = None
    has_file: bool = False
    other_files: list[str] = field(default_factory=list)
    size_bytes: int = 0
    sha256: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The text fields; of one that came several times, the last value."""
        return {name: values[-1] for name, values in self.values.items()}


def boundary_of(content_type: str) -> str:
    """The boundary parameter of a multipart Content-Type.

    Raises:
        BadRequest: the header is not multipart/form-data, or has no boundary.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise BadRequest("The body must be multipart/form-data, and its Content-Type must tell the boundary.")
    return boundary


async def receive(
    chunks: AsyncIterator[bytes],
    content_type: str,
    *,
    file_field: str,
    to: Path,
    max_bytes: int,
    is_required: bool = True,
) -> StreamedUpload:
    """Read a form, writing its part ``file_field`` to the file ``to``.

    Args:
        is_required: whether that part must be there; without it the file is empty, and ``has_file`` False.

    Raises:
        BadRequest: not a form, broken off, or without a part that must be there.
        TooLarge: the file is longer than ``max_bytes``, or a field than 8 kB.
    """
    upload = StreamedUpload()
    digest = hashlib.sha256()
    segment: MultipartSegment | None = None
    fields: list[tuple[str, bytearray]] = []
    found = False
    try:
        with (
            PushMultipartParser(
                boundary_of(content_type), max_segment_count=_MAX_PARTS, max_header_size=_MAX_HEADER_BYTES
            ) as parser,
            to.open("wb") as file,
        ):
            async for chunk in chunks:
                for part in parser.parse(chunk) if chunk else ():  # an empty chunk would mean the end
                    if isinstance(part, MultipartSegment):
                        segment = part
                        if segment.name == file_field:
                            if found:
                                raise BadRequest(f"The form has more than one part named {file_field}.")
                            found, upload.file_name = True, segment.filename
                        else:
                            fields.append((segment.name or "", bytearray()))
                            if segment.filename is not None:
                                upload.other_files.append(segment.name or "")
                    elif part and segment is not None:
                        if segment.name == file_field:
                            _write(file, part, upload, max_bytes)
                            digest.update(part)
                        elif segment.filename is None:
                            _append(*fields[-1], part)
            list(parser.parse(b""))  # the end of the stream: raises when the form has not ended yet
    except ParserLimitReached as error:
        if "header length" in str(error):
            raise TooLarge(
                f"A header of the form, with names of a part and its file, is longer than {_MAX_HEADER_BYTES} bytes."
            ) from error
        raise TooLarge(f"The form is too large: {error}.") from error
    except MultipartError as error:
        if any(isinstance(argument, UnicodeError) for argument in error.args):
            raise BadRequest("The form's headers are not UTF-8.") from error
        raise BadRequest(f"The body is not valid multipart/form-data: {cut(str(error))}.") from error
    upload.has_file = found
    if is_required and not found:
        raise BadRequest(f"The form has no part named {file_field}.")
    for name, value in fields:
        upload.values.setdefault(name, []).append(value.decode("utf-8", errors="replace"))
    upload.sha256 = digest.hexdigest()
    return upload


def _write(file: BinaryIO, part: bytes | bytearray, upload: StreamedUpload, max_bytes: int) -> None:
    upload.size_bytes += len(part)
    if upload.size_bytes > max_bytes:
        raise too_large_file(max_bytes)
    file.write(part)


def too_large_file(max_bytes: int) -> TooLarge:
    """For a file of a form that is longer than ``max_bytes``."""
    return TooLarge(f"The file is larger than the limit of {max_bytes / 1e6:g} MB.")


def _append(name: str, value: bytearray, part: bytes | bytearray) -> None:
    value += part
    if len(value) > _MAX_FIELD_BYTES:
        raise TooLarge(f"The field {cut(name)} is longer than the limit of {_MAX_FIELD_BYTES} bytes.")
