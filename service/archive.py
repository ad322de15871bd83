"""A ZIP archive of stored files that never exists as a file: every byte of it can be told, and any range be read.

Its members are stored, not compressed (FLAC does not get smaller), so the whole layout follows from their names and
sizes.  Only the check sums need the contents; each is found by reading its object once, the first time that it is
needed.  The same members give the same bytes.

Layout and field names are those of PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central
directory), 4.3.14 to 4.3.16 (ends) and 4.5.3 (the extra field for what does not fit into 32 bits).
"""

import asyncio
import hashlib
import struct
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.storage import Storage

_FULL = 0xFFFF_FFFF  # in a plain field: see the extra field
LARGE = _FULL  # sizes and offsets from here on need that
_VERSION, _VERSION_64 = 20, 45
_UTF8_NAMES = 1 << 11
_STORED = 0
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # the format knows no time before
_MAX_SUMS = 4096
_sums: dict[str, int] = {}  # CRC-32 of contents, by their SHA-256


@dataclass(frozen=True, slots=True)
class Member:
    """A stored file and its name in the archive."""

    name: str
    key: str
    size_bytes: int
    sha256: str
    modified_ms: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A member and where its header begins."""

    member: Member
    offset: int

    @property
    def is_large(self) -> bool:
        return max(self.member.size_bytes, self.offset) >= LARGE

    def header(self, crc: int) -> bytes:
        name, size = self.member.name.encode(), self.member.size_bytes
        extra = struct.pack("<HHQQ", 1, 16, size, size) if self.is_large else b""
        shown = _FULL if self.is_large else size
        fields = (*self._common(crc), shown, shown, len(name), len(extra))
        return struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", *fields) + name + extra

    def entry(self, crc: int) -> bytes:
        """Its line of the central directory."""
        name, size = self.member.name.encode(), self.member.size_bytes
        extra = struct.pack("<HHQQQ", 1, 24, size, size, self.offset) if self.is_large else b""
        shown, offset = (_FULL, _FULL) if self.is_large else (size, self.offset)
        fields = (*self._common(crc), shown, shown, len(name), len(extra), 0, 0, 0, 0, offset)
        return struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", _VERSION_64, *fields) + name + extra

    def _common(self, crc: int) -> tuple[int, ...]:
        at = max(datetime.fromtimestamp(self.member.modified_ms / 1000, UTC), _EARLIEST)
        time = at.hour << 11 | at.minute << 5 | at.second // 2
        date = at.year - _EARLIEST.year << 9 | at.month << 5 | at.day
        return (_VERSION_64 if self.is_large else _VERSION, _UTF8_NAMES, _STORED, time, date, crc)


class StoredZip:
    """An archive of ``members``, in their order, out of a storage.

    Attributes:
        size_bytes: its length.
        digest: a hex digest of everything that decides its bytes.
    """

    def __init__(self, members: Sequence[Member], storage: Storage) -> None:
        self._storage = storage
        self._placed: list[_Placed] = []
        offset = 0
        for member in members:
            placed = _Placed(member, offset)
            self._placed.append(placed)
            offset += len(placed.header(0)) + member.size_bytes
        self._directory_offset = offset
        self.size_bytes = offset + len(self._directory([0] * len(members)))
        about = [(member.name, member.size_bytes, member.sha256, member.modified_ms) for member in members]
        self.digest = hashlib.sha256(repr(about).encode()).hexdigest()

    async def is_readable(self) -> bool:
        """Whether every member's object is there."""
        return all(await asyncio.gather(*(self._storage.exists(placed.member.key) for placed in self._placed)))

    async def read(self, start: int, n_bytes: int) -> AsyncIterator[bytes]:
        """``n_bytes`` of the archive from byte ``start`` on, in blocks of at most 256 kB."""
        if n_bytes <= 0:
            return
        end = start + n_bytes
        for placed in self._placed:
            data_at = placed.offset + len(placed.header(0))
            if start < data_at and placed.offset < end:
                header = placed.header(await self._crc32(placed.member))
                yield header[max(start - placed.offset, 0) : end - placed.offset]
            first, last = max(start - data_at, 0), min(end - data_at, placed.member.size_bytes)
            if first < last:
                async for block in self._storage.read(placed.member.key, first, last - first):
                    yield block
        if end > self._directory_offset:
            directory = self._directory([await self._crc32(placed.member) for placed in self._placed])
            yield directory[max(start - self._directory_offset, 0) : end - self._directory_offset]

    async def _crc32(self, member: Member) -> int:
        if (known := _sums.get(member.sha256)) is not None:
            return known
        crc = 0
        async for block in self._storage.read(member.key, 0, member.size_bytes):
            crc = await asyncio.to_thread(zlib.crc32, block, crc)
        if len(_sums) >= _MAX_SUMS:
            _sums.pop(next(iter(_sums)))
        return _sums.setdefault(member.sha256, crc)

    def _directory(self, crcs: Sequence[int]) -> bytes:
        """The central directory and the archive's end."""
        return b"".join(self._ends(b"".join(map(_Placed.entry, self._placed, crcs))))

    def _ends(self, entries: bytes) -> Iterator[bytes]:
        yield entries
        n_members, size, offset = len(self._placed), len(entries), self._directory_offset
        if offset >= LARGE:
            fields = (44, _VERSION_64, _VERSION_64, 0, 0, n_members, n_members, size, offset)
            yield struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", *fields)
            yield struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + size, 1)
            offset = _FULL
        yield struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, n_members, n_members, size, offset, 0)
