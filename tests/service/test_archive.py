"""The archive that is never made: what any ZIP reader reads, in whichever pieces it is asked for."""

import hashlib
import io
import random
import zipfile
from pathlib import Path

import pytest

from service import archive
from service.archive import Member, StoredZip

CONTENTS = {"drums.flac": b"d" * 700_000, "voix élevée.flac": random.Random(1).randbytes(300_001), "empty.flac": b""}
MODIFIED_MS = 1_790_000_001_000


def members(folder: Path, modified_ms: int = MODIFIED_MS) -> list[Member]:
    made = []
    for name, content in CONTENTS.items():
        path = folder / name
        path.write_bytes(content)
        made.append(Member(name, path, len(content), hashlib.sha256(content).hexdigest(), modified_ms))
    return made


async def read(zipped: StoredZip, start: int = 0, n_bytes: int | None = None) -> bytes:
    wanted = zipped.size_bytes if n_bytes is None else n_bytes
    return b"".join([block async for block in zipped.read(start, wanted)])


@pytest.mark.parametrize("large", [None, 50, 400_000], ids=["32 bits", "64 bits", "64 bits for some"])
async def test_what_a_reader_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int | None) -> None:
    """With a small "large", the fields for files beyond 4 GB are used without there being any."""
    if large is not None:
        monkeypatch.setattr(archive, "LARGE", large)
    zipped = StoredZip(members(tmp_path))
    whole = await read(zipped)
    assert len(whole) == zipped.size_bytes
    with zipfile.ZipFile(io.BytesIO(whole)) as opened:
        assert opened.testzip() is None
        assert {info.filename: opened.read(info) for info in opened.infolist()} == CONTENTS
        assert opened.getinfo("drums.flac").date_time == (2026, 9, 21, 14, 13, 20)
    assert await read(StoredZip(members(tmp_path))) == whole


async def test_every_range(tmp_path: Path) -> None:
    zipped = StoredZip(members(tmp_path))
    whole = await read(zipped)
    chance = random.Random(2)
    cuts = [(0, 0), (0, 1), (len(whole), 0), (len(whole) - 1, 1)]
    for _ in range(200):
        start = chance.choice(
            [chance.randrange(len(whole)), chance.randrange(60), len(whole) - chance.randrange(1, 300)]
        )
        cuts.append((start, chance.randrange(1, chance.choice([40, len(whole)]))))
    for start, n_bytes in cuts:
        n_bytes = min(n_bytes, len(whole) - start)
        assert await read(zipped, start, n_bytes) == whole[start : start + n_bytes], (start, n_bytes)


async def test_blocks_stay_small(tmp_path: Path) -> None:
    zipped = StoredZip(members(tmp_path))
    assert max([len(block) async for block in zipped.read(0, zipped.size_bytes)]) <= 1 << 18


async def test_times_before_the_formats_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(await read(StoredZip(members(tmp_path, 0))))) as opened:
        assert opened.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_the_digest_tells_archives_apart(tmp_path: Path) -> None:
    one = members(tmp_path)
    digests = {StoredZip(some).digest for some in (one, one[:2], one[::-1], members(tmp_path, 0))}
    assert len(digests) == 4
    assert StoredZip(members(tmp_path)).digest in digests
