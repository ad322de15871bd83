"""The weights this service needs, by its settings, and the soundfonts that it can do without."""

from collections.abc import Collection

from pipeline.models.catalogue import soundfonts
from pipeline.models.store import ModelStore
from service.db.models import Queue
from service.settings import Settings

TRANSCRIPTION_MODELS = ("basic-pitch", "swift-f0")
RECOGNITION_MODELS = ("swift-f0",)
"""Beside the separator's: what tells a voice from an instrument follows its pitch."""
SOUNDFONTS = soundfonts()
"""The best first; without any of them notes are played by a plain synthesiser, so that none is needed."""


def model_store(settings: Settings) -> ModelStore:
    """The cache of weights that the settings name."""
    return ModelStore(settings.models_dir)


def needed_models(settings: Settings) -> tuple[str, ...]:
    """Names of the weights without which tasks cannot be done."""
    return settings.separation_model, *TRANSCRIPTION_MODELS


def models_of_queues(settings: Settings, queues: Collection[str]) -> tuple[str, ...]:
    """Names of the weights that a worker of these queues needs."""
    separating = (settings.separation_model, *RECOGNITION_MODELS) if Queue.SEPARATION in queues else ()
    return tuple(dict.fromkeys(separating + (TRANSCRIPTION_MODELS if Queue.MIDI in queues else ())))
