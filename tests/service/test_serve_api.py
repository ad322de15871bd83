"""The API as a process of its own, in a fleet: no worker on its machine looks after it."""

import asyncio
import dataclasses
import os
import signal
import time

from service.context import Context
from service.serve import serve_api
from service.settings import Settings
from support.waiting import until

DAY_S = 86_400


async def test_what_an_api_process_before_left_of_uploads_is_deleted(settings: Settings, context: Context) -> None:
    fresh, stale = (context.storage.scratch_dir / name for name in ("upload-fresh", "upload-stale"))
    for path, age_s in ((fresh, 0), (stale, DAY_S)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    announced: list[str] = []
    serving = asyncio.create_task(serve_api(dataclasses.replace(settings, port=0), announced.append))
    await until(lambda: announced and not stale.exists())
    assert fresh.exists()
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
