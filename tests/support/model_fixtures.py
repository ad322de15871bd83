"""The real weights, for tests marked ``weights``."""

import os
from pathlib import Path

import pytest

from pipeline.models.store import ModelStore, default_root


@pytest.fixture(scope="session")
def model_store() -> ModelStore:
    """The user's own cache (or STEMSCRIBE_MODELS_DIR) with htdemucs, Basic Pitch and SwiftF0, pulled where missing."""
    root = os.environ.get("STEMSCRIBE_MODELS_DIR")
    store = ModelStore(Path(root) if root else default_root())
    for name in ("htdemucs", "basic-pitch", "swift-f0"):
        store.pull(name)
    return store
