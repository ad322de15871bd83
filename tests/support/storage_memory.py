"""A process that stores, fetches and streams a large file in S3, and prints by how many MB that made it grow."""

import asyncio
import dataclasses
import os
import resource
import sys
from pathlib import Path

from service.settings import Settings
from service.storage import open_storage

FILE_MB = 200


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _pass_through(data_dir: Path, storage_url: str) -> float:
    storage = open_storage(dataclasses.replace(Settings(), data_dir=data_dir, storage_url=storage_url))
    small, large = storage.scratch_dir / "small", storage.scratch_dir / "large"
    small.write_bytes(b"x")
    await storage.put(small, "objects/aa/small")  # so that what the library needs by itself is there
    block = os.urandom(1 << 20)
    with large.open("wb") as file:
        for _ in range(FILE_MB):
            file.write(block)
    before_mb = _peak_mb()
    await storage.put(large, "objects/aa/large")
    copy = await storage.local("objects/aa/large", storage.scratch_dir)
    assert copy.stat().st_size == FILE_MB << 20
    n_bytes = 0
    async for part in storage.read("objects/aa/large", 1, FILE_MB << 20):
        n_bytes += len(part)
    assert n_bytes == (FILE_MB << 20) - 1
    copy.unlink()
    await storage.delete(["objects/aa/large", "objects/aa/small"])
    return _peak_mb() - before_mb


def main() -> None:
    print(asyncio.run(_pass_through(Path(sys.argv[1]), sys.argv[2])))


if __name__ == "__main__":
    main()
