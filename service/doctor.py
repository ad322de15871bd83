"""What is there and what is missing on this machine."""

import asyncio
import dataclasses
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.audio.ffmpeg import ffmpeg_path
from pipeline.errors import PipelineError
from pipeline.models.soundfonts import can_play, installed_soundfont
from service.db.database import Database
from service.doorbell import open_doorbell
from service.errors import ServiceError
from service.models import model_store, needed_models
from service.settings import Settings
from service.storage import open_storage


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that the service needs, and leave everything as it was."""
    return [
        Finding("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *await asyncio.to_thread(_models, settings),
        await asyncio.to_thread(_soundfont, settings),
        await asyncio.to_thread(_ffmpeg),
        await asyncio.to_thread(_device, settings),
        _npm(),
        _data_dir(settings.data_dir),
        await _database(settings),
        *([await _storage(settings)] if settings.storage_url else []),
        *([await _redis(settings)] if settings.redis_url else []),
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


def _soundfont(settings: Settings) -> Finding:
    if soundfont := installed_soundfont(model_store(settings)):
        return Finding("soundfont", True, f"{soundfont.name}, {soundfont.path}")
    reason = "not here; to fetch one: stemscribe models pull" if can_play() else "tinysoundfont is not installed"
    return Finding("soundfont", True, f"{reason}. Notes are played by a plain synthesiser")


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


def _data_dir(folder: Path) -> Finding:
    # A link that leads nowhere is there, too: no folder can be made in its place.
    there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    if not there.is_dir():
        return Finding("data folder", False, f"{folder}: {there} is not a folder; choose another: STEMSCRIBE_DATA_DIR")
    for place in (there, *(path for path in (folder / "files", folder / "scratch") if path.is_dir())):
        try:
            # Gone again at once.  Permissions do not tell everything: root may write /proc, and make nothing in it.
            tempfile.TemporaryDirectory(dir=place).cleanup()
        except OSError as error:
            reason = f"{place} cannot be written ({error.strerror})"
            return Finding("data folder", False, f"{folder}: {reason}; choose another: STEMSCRIBE_DATA_DIR")
    return Finding("data folder", True, str(folder) if there == folder else f"{folder}: not created yet")


async def _database(settings: Settings) -> Finding:
    url = make_url(settings.resolved_database_url)
    address = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not await asyncio.to_thread(Path(url.database or "").is_file):
        # Connecting would create it.
        return Finding("database", True, f"{address}: not created yet; `stemscribe serve` does it at its start")
    database = Database(settings.resolved_database_url)
    try:
        at_head = await database.at_head()
        detail = "at the newest migration" if at_head else "not migrated yet; `stemscribe serve` does it at its start"
        return Finding("database", True, f"{address}: {detail}")
    except (SQLAlchemyError, OSError) as error:
        return Finding("database", False, f"{address}: {error}")
    finally:
        await database.close()


async def _storage(settings: Settings) -> Finding:
    with tempfile.TemporaryDirectory() as folder:  # the data folder is looked at by itself, and not made here
        try:
            storage = open_storage(dataclasses.replace(settings, data_dir=Path(folder)))
        except ServiceError as error:
            return Finding("storage", False, error.message)
        found = await storage.check()
        await storage.close()
    return Finding("storage", found == "ok", f"{settings.storage_url}: {found}")


async def _redis(settings: Settings) -> Finding:
    doorbell = open_doorbell(settings.redis_url)
    is_up = await doorbell.is_up()
    await doorbell.close()
    detail = "it answers" if is_up else "it does not answer; workers look into the database all the same"
    return Finding("Redis", is_up, detail)
