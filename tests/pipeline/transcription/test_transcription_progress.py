"""Transcription says how far it is inside a stem, and stops where that raises."""

import numpy as np
import pytest

from bench.bench_note_decoding import generated_song
from pipeline.audio.source import AudioSource
from pipeline.errors import Cancelled
from pipeline.models.store import ModelStore
from pipeline.transcription import sessions
from pipeline.transcription.basic_pitch import BATCH_WINDOWS, HOP_SAMPLES, RATE_HZ, BasicPitchNetwork
from pipeline.transcription.routing import Transcription

DURATION_S = 120


@pytest.fixture
def transcription(tmp_path) -> Transcription:
    store = ModelStore(tmp_path / "models")
    store.pull("basic-pitch")
    store.pull("swift-f0")
    return Transcription(store)


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    """Notes, and a bass drum twice a second: something for either transcriber."""
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    drum = np.sin(2 * np.pi * (50 * time_s - 4 * np.exp(-30 * time_s))) * np.exp(-8 * time_s)
    music = generated_song(DURATION_S)
    return (0.3 * music / np.abs(music).max() + 0.6 * np.tile(drum, 2 * DURATION_S)).astype(np.float32)


@pytest.fixture
def stem(tmp_path, song) -> AudioSource:
    (tmp_path / "stem.f32").write_bytes(song.tobytes())
    return AudioSource(tmp_path / "stem.f32", RATE_HZ, 1, len(song))


@pytest.mark.parametrize("name", ["drums", "bass"])
def test_every_few_seconds_of_the_stem_are_told(transcription, stem, name):
    seen = []
    assert transcription.transcribe({name: stem}, on_progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    # But for the end, where what only one voice needs is left out
    assert np.diff([fraction for fraction in seen if fraction < 1]).max() < 0.2
    assert len(set(seen)) > 18  # batches of windows, or blocks of spectra and layers of the network


@pytest.mark.parametrize("name", ["drums", "bass"])
@pytest.mark.parametrize("at", [0.0, 0.04, 0.3, 0.9, 1.0])
def test_it_stops_where_a_report_raises(transcription, stem, name, at):
    later = []

    def report(fraction):
        if fraction >= at:
            later.append(fraction)
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled, match="Enough"):
        transcription.transcribe({name: stem}, on_progress=report)
    assert len(later) == 1


class Counting:
    """A session of onnxruntime that counts its runs."""

    def __init__(self, session):
        self._session = session
        self.runs = 0

    def run(self, *arguments):
        self.runs += 1
        return self._session.run(*arguments)


def test_batches_that_wait_are_dropped(network_path, song, monkeypatch):
    network = BasicPitchNetwork(network_path)
    counting = Counting(network._session)
    monkeypatch.setattr(network, "_session", counting)
    monkeypatch.setattr(sessions, "usable_cpus", lambda: 2)

    def report(fraction):
        if fraction > 0:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        network.activations(song, RATE_HZ, report)
    n_batches = len(song) // HOP_SAMPLES // BATCH_WINDOWS
    assert n_batches == 18
    assert counting.runs < n_batches // 2
    ran = counting.runs
    network.activations(song[:HOP_SAMPLES], RATE_HZ)
    assert counting.runs == ran + 1  # nothing ran on in between
