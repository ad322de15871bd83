"""Which soundfont there is to play notes with."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.models.catalogue import soundfonts
from pipeline.models.store import ModelStore


@dataclass(frozen=True, slots=True)
class Soundfont:
    """A soundfont on this machine: its name in the catalogue, and its file."""

    name: str
    path: Path


def can_play() -> bool:
    """Whether the player is installed: it has no wheel for every platform."""
    return find_spec("tinysoundfont") is not None


def installed_soundfont(models: ModelStore) -> Soundfont | None:
    """The best soundfont in the cache, if there is one and the player to play it; touches no network."""
    if can_play():
        for name in soundfonts(models.catalogue):
            if models.status(name).present:
                (path,) = models.require(name)
                return Soundfont(name, path)
    return None
