"""The archive that is never made: what any ZIP reader reads, in whichever pieces it is asked for."""

import dataclasses
import hashlib
import io
import random
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service import archive
from service.archive import Member, StoredZip
from service.settings import Settings
from service.storage import Storage, content_key, open_storage

CONTENTS = {"drums.flac": b"d" * 700_000, "voix élevée.flac": random.Random(1).randbytes(300_001), "empty.flac": b""}
MODIFIED_MS = 1_790_000_001_000


@pytest.fixture
async def storage(storage_url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    """With the contents in it."""
    storage = open_storage(dataclasses.replace(Settings(), data_dir=tmp_path, storage_url=storage_url))
    for name, content in CONTENTS.items():
        path = storage.scratch_dir / name
        path.write_bytes(content)
        await storage.put(path, content_key(hashlib.sha256(content).hexdigest()))
    archive._sums.clear()
    yield storage
    await storage.close()


def members(modified_ms: int = MODIFIED_MS) -> list[Member]:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    return [
        Member(name, content_key(digests[name]), len(content), digests[name], modified_ms)
        for name, content in CONTENTS.items()
    ]


async def read(zipped: StoredZip, start: int = 0, n_bytes: int | None = None) -> bytes:
    wanted = zipped.size_bytes if n_bytes is None else n_bytes
    return b"".join([block async for block in zipped.read(start, wanted)])


@pytest.mark.parametrize("large", [None, 50, 400_000], ids=["32 bits", "64 bits", "64 bits for some"])
async def test_what_a_reader_finds(storage: Storage, monkeypatch: pytest.MonkeyPatch, large: int | None) -> None:
    """With a small "large", the fields for files beyond 4 GB are used without there being any."""
    if large is not None:
        monkeypatch.setattr(archive, "LARGE", large)
    zipped = StoredZip(members(), storage)
    whole = await read(zipped)
    assert len(whole) == zipped.size_bytes
    with zipfile.ZipFile(io.BytesIO(whole)) as opened:
        assert opened.testzip() is None
        assert {info.filename: opened.read(info) for info in opened.infolist()} == CONTENTS
        assert opened.getinfo("drums.flac").date_time == (2026, 9, 21, 14, 13, 20)
    assert await read(StoredZip(members(), storage)) == whole


async def test_every_range(storage: Storage) -> None:
    zipped = StoredZip(members(), storage)
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


async def test_blocks_stay_small(storage: Storage) -> None:
    zipped = StoredZip(members(), storage)
    assert max([len(block) async for block in zipped.read(0, zipped.size_bytes)]) <= 1 << 18


async def test_times_before_the_formats_own(storage: Storage) -> None:
    with zipfile.ZipFile(io.BytesIO(await read(StoredZip(members(0), storage)))) as opened:
        assert opened.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_the_digest_tells_archives_apart(storage: Storage) -> None:
    one = members()
    digests = {StoredZip(some, storage).digest for some in (one, one[:2], one[::-1], members(0))}
    assert len(digests) == 4
    assert StoredZip(members(), storage).digest in digests


async def test_what_is_missing_is_told_before_anything_is_sent(storage: Storage) -> None:
    zipped = StoredZip(members(), storage)
    assert await zipped.is_readable()
    await storage.delete([members()[1].key])
    assert not await zipped.is_readable()


async def test_check_sums_are_kept_for_so_many_contents(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MAX_SUMS", 2)
    zipped = StoredZip(members(), storage)
    whole = await read(zipped)
    assert len(archive._sums) == 2
    assert await read(zipped) == whole
