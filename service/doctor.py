"""What is there and what is missing on this machine."""

import asyncio
import platform
import shutil
from dataclasses import dataclass

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.audio.ffmpeg import ffmpeg_path
from pipeline.errors import PipelineError
from service.context import Context
from service.models import model_store, needed_models
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that the service needs."""
    return [
        Finding("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *await asyncio.to_thread(_models, settings),
        await asyncio.to_thread(_ffmpeg),
        await asyncio.to_thread(_device, settings),
        _npm(),
        await _database(settings),
    ]


def _models(settings: Settings) -> list[Finding]:
    findings = []
    for name in needed_models(settings):
        try:
            paths = model_store(settings).require(name)
            findings.append(Finding(f"weights {name}", True, ", ".join(map(str, paths))))
        except PipelineError as error:
            findings.append(Finding(f"weights {name}", False, error.message))
    return findings


def _ffmpeg() -> Finding:
    try:
        return Finding("ffmpeg", True, str(ffmpeg_path()))
    except PipelineError as error:
        return Finding("ffmpeg", False, error.message)


def _device(settings: Settings) -> Finding:
    from pipeline.separation.device import choose_device, describe_device  # torch takes seconds to import

    try:
        return Finding("device", True, describe_device(choose_device(settings.device)))
    except PipelineError as error:
        return Finding("device", False, error.message)


def _npm() -> Finding:
    found = shutil.which("npm")
    return Finding("npm", True, found or "not installed; only needed where the Hugging Face hub cannot be reached")


async def _database(settings: Settings) -> Finding:
    context = Context(settings)
    address = make_url(context.database.url).render_as_string(hide_password=True)
    try:
        at_head = await context.database.at_head()
        detail = "at the newest migration" if at_head else "not migrated yet; `stemscribe serve` does it at its start"
        return Finding("database", True, f"{address}: {detail}")
    except (SQLAlchemyError, OSError) as error:
        return Finding("database", False, f"{address}: {error}")
    finally:
        await context.close()
