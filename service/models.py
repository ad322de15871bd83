"""The weights this service needs, by its settings."""

from pathlib import Path

from pipeline.models.store import ModelStore
from service.settings import Settings

TRANSCRIPTION_MODELS = ("basic-pitch", "swift-f0")


def model_store(settings: Settings) -> ModelStore:
    """The cache of weights that the settings name."""
    return ModelStore(settings.models_dir)


def needed_models(settings: Settings) -> tuple[str, ...]:
    """Names of the weights without which tasks cannot be done."""
    return settings.separation_model, *TRANSCRIPTION_MODELS


def required_models(settings: Settings) -> dict[str, tuple[Path, ...]]:
    """The files of every needed model.

    Raises:
        ModelMissing: one is not in the cache; the message names the command that fetches it.
    """
    store = model_store(settings)
    return {name: store.require(name) for name in needed_models(settings)}
