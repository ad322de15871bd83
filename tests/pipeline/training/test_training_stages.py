"""What is done to rendered songs before the note network hears them: drummers, and our own separation."""

import json

import numpy as np
import pytest

from pipeline.training.accompany import accompany
from pipeline.training.dataset import SEPARATED_STEMS, Mixing, RenderedSong, Samples
from pipeline.training.drums.render import Sources
from pipeline.training.drums.synthetic_kits import synthetic_kit
from pipeline.training.separate import separate_songs
from pipeline.training.sounds.base import RATE_HZ

DURATION_S = 12


@pytest.fixture
def song(tmp_path):
    """A song of two parts at 120 beats a minute: a low one, family bass, and one two octaves above it."""
    folder = tmp_path / "0000007"
    folder.mkdir()
    time_s = np.arange(DURATION_S * RATE_HZ) / RATE_HZ
    audio, notes, parts = [], [], []
    for row, (family, pitch, hz) in enumerate((("bass", 40, 82.41), ("piano", 64, 329.63))):
        decay = np.exp(-3 * (time_s % 0.5))
        audio.append(sum(np.sin(2 * np.pi * hz * k * time_s) / k for k in range(1, 5)) * decay)
        notes += [(row, beat / 2, beat / 2 + 0.4, pitch, 90) for beat in range(2 * DURATION_S)]
        parts.append({"role": "tune", "family": family, "sound": "sines"})
    np.save(folder / "audio.npy", np.round(8000 * np.array(audio)).astype(np.int16))
    np.save(folder / "notes.npy", np.array(sorted(notes, key=lambda note: note[1]), np.float32))
    (folder / "song.json").write_text(json.dumps({"seed": 7, "beat_s": 0.5, "parts": parts}))
    return folder


def test_a_drummer_plays_along_as_long_as_the_song_and_once(song):
    drums = Sources({"machine": synthetic_kit(np.random.default_rng(1))})
    accompany(song.parent, drums)
    played = np.load(song / "drums.npy")
    assert played.dtype == np.int16
    assert played.shape == (DURATION_S * RATE_HZ,)
    loud = np.abs(played).reshape(DURATION_S, -1).max(axis=1)
    assert loud.max() == pytest.approx(0.9 * 32767, abs=2)
    assert (loud > 300).all()
    written = (song / "drums.npy").stat().st_mtime_ns
    accompany(song.parent, drums)
    assert (song / "drums.npy").stat().st_mtime_ns == written
    # They are heard in samples, and no note is expected of them
    without = Samples([song], Mixing(n_frames=100, augmented=False), 24, seed=1).batch(0)
    assert without.samples.shape == (24, 100 * 512)
    (song / "drums.npy").unlink()
    again = Samples([song], Mixing(n_frames=100, augmented=False), 24, seed=1).batch(0)
    assert not np.array_equal(without.samples, again.samples)
    assert set(np.flatnonzero(without.onset.any(axis=(0, 1)))) <= {40 - 21, 64 - 21}


@pytest.mark.weights
def test_separated_songs_give_stems_with_the_notes_of_the_parts_in_them(song):
    separate_songs(song.parent, 1)
    stems = np.load(song / "separated.npy").astype(np.float64)
    assert stems.shape == (len(SEPARATED_STEMS), DURATION_S * RATE_HZ)
    kept = RenderedSong.open(song)
    assert kept.is_separated()
    parts = kept.audio().astype(np.float64)
    inner = slice(RATE_HZ, -RATE_HZ)
    added, mixed = stems.sum(axis=0)[inner], parts.sum(axis=0)[inner]
    assert np.corrcoef(added, mixed)[0, 1] > 0.7  # parts are mixed at levels of their own
    written = (song / "separated.npy").stat().st_mtime_ns
    separate_songs(song.parent, 1)
    assert (song / "separated.npy").stat().st_mtime_ns == written
    batch = Samples([song], Mixing(n_frames=100, augmented=False, separated_share=1.0), 12, seed=1).batch(0)
    heard = [set(np.flatnonzero(sample.any(axis=0)) + 21) for sample in batch.onset]
    assert all(keys in ({40}, {64}, {40, 64}) for keys in heard)
    assert {40} in heard
    assert {64} in heard
