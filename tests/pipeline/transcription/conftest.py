from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.bench_note_decoding import generated_song, network_file, reference_module


@pytest.fixture(scope="session")
def network_path() -> Path:
    return network_file()


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """The reference's own ``inference`` and ``note_creation``."""
    return SimpleNamespace(**{name: reference_module(name) for name in ("inference", "note_creation")})


@pytest.fixture(scope="session")
def polyphony() -> NDArray[np.float32]:
    """40 s of generated music: float32 mono at 22 050 Hz."""
    return generated_song(40)
