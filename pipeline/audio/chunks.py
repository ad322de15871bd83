"""How much audio the header of a chunked file promises, and how much is there.

libsndfile quietly cuts the length it reports to what the file holds, so that half a song looks like a whole
one.  These formats all say the size of their data chunk, which is compared with the file's here.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.audio.sniff import AIFF, AU, CAF, RF64, W64, WAV, Container
from pipeline.errors import CorruptAudio

_MAX_CHUNKS = 1000
_SLACK_BYTES = 4096  # some writers count headers in; 23 ms of CD audio
_UNKNOWN_32_BIT = 0x7FFF_0000  # programs that write to a pipe put 2 or 4 GiB there, less a header
_UNKNOWN_64_BIT = 1 << 62
_IN_DS64 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class _Layout:
    start: int  # of the first chunk
    id_bytes: int
    size_format: str
    data_id: bytes
    alignment: int
    size_counts_header: bool = False


_LAYOUTS = {
    WAV: _Layout(12, 4, "<I", b"data", 2),
    RF64: _Layout(12, 4, "<I", b"data", 2),
    AIFF: _Layout(12, 4, ">I", b"SSND", 2),
    CAF: _Layout(8, 4, ">q", b"data", 1),
    W64: _Layout(40, 16, "<Q", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 8, size_counts_header=True),
}


def check_complete(path: Path, container: Container) -> None:
    """Refuse a WAV, RF64, Wave64, AIFF, CAF or AU file that is cut off; other containers pass.

    A size that says "not known", as files written to a pipe have, passes too: what is there is all there is.

    Raises:
        CorruptAudio: names both sizes.
    """
    with path.open("rb") as file:
        if container == AU:
            promised, start = _au_data(file)
        elif layout := _LAYOUTS.get(container):
            promised, start = _find_data(file, layout)
        else:
            return
        present = max(0, file.seek(0, 2) - start)
    if promised is not None and promised > present + _SLACK_BYTES:
        raise CorruptAudio(
            f"The file is incomplete: its header promises {promised} bytes of audio, and {present} are there."
        )


def _au_data(file: BinaryIO) -> tuple[int | None, int]:
    """The promised data size, None where it is not known, and where the data starts."""
    _, start, size = struct.unpack(">4sII", file.read(12).ljust(12, b"\0"))
    return (size if 0 < size < _UNKNOWN_32_BIT else None), start


def _find_data(file: BinaryIO, layout: _Layout) -> tuple[int | None, int]:
    """As :func:`_au_data`, for chunks of (id, size, content)."""
    header_bytes = layout.id_bytes + struct.calcsize(layout.size_format)
    unknown = _UNKNOWN_32_BIT if layout.size_format.endswith("I") else _UNKNOWN_64_BIT
    file_bytes = file.seek(0, 2)
    at, long_size = layout.start, 0
    for _ in range(_MAX_CHUNKS):
        if not layout.start <= at < file_bytes:
            break
        file.seek(at)
        header = file.read(header_bytes)
        if len(header) < header_bytes:
            break
        name = header[: layout.id_bytes]
        (size,) = struct.unpack(layout.size_format, header[layout.id_bytes :])
        if name == b"ds64":  # RF64 keeps its real sizes here: of the form, then of the data (EBU Tech 3306)
            long_size = int.from_bytes(file.read(16)[8:], "little")
        if name == layout.data_id:
            if long_size and size == _IN_DS64:
                size, unknown = long_size, _UNKNOWN_64_BIT
            content = size - header_bytes if layout.size_counts_header else size
            return (content if 0 < content < unknown else None), at + header_bytes
        at += size if layout.size_counts_header else header_bytes + size
        at += -at % layout.alignment
    return None, 0
