"""From rendered songs to weights that the product loads: what is rendered, what is learned from, how it goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.instrument_families import FAMILIES
from pipeline.training.dataset import NO_FAMILY, Mixing, Samples, rendered_songs
from pipeline.training.errors import TrainingError
from pipeline.training.export import export
from pipeline.training.render import Job, render
from pipeline.training.sounds.base import RATE_HZ
from pipeline.training.sounds.collection import Sources
from pipeline.training.train import Recipe, Run, velocity_loss
from pipeline.transcription.note_listening import NoteListener, gain_for
from pipeline.transcription.note_network import FRAME_S, FRAME_SAMPLES, STEP_S, Size
from pipeline.transcription.spectrum import FIRST_PITCH

SMALL = Size(first=8, width=8, layers=2)
MIXING = Mixing(n_frames=24)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Three songs of a few seconds, of made-up instruments."""
    folder = tmp_path_factory.mktemp("songs")
    render(Job(folder, Sources((), synthetic=40), None, 0, 3, song_s=8.0), 1)
    return folder


@pytest.fixture
def tone(tmp_path):
    """A song of one part: an A of a second from 2 s on, and a softer E that follows it."""
    folder = tmp_path / "songs" / "0000000"
    folder.mkdir(parents=True)
    time_s = np.arange(8 * RATE_HZ) / RATE_HZ
    sound = np.where((time_s >= 2) & (time_s < 3), np.sin(2 * np.pi * 440 * time_s), 0)
    sound += np.where((time_s >= 3) & (time_s < 4), 0.5 * np.sin(2 * np.pi * 659.26 * time_s), 0)
    np.save(folder / "audio.npy", np.round(8000 * sound).astype(np.int16)[None])
    np.save(folder / "notes.npy", np.array([[0, 2, 3, 69, 100], [0, 3, 4, 76, 50]], np.float32))
    part = {"role": "tune", "family": "brass", "sound": "sine"}
    (folder / "song.json").write_text(json.dumps({"seed": 0, "beat_s": 0.5, "parts": [part]}))
    return folder


def recipe(steps, **changes):
    return Recipe(size=SMALL, mixing=MIXING, batch_size=2, steps=steps, rate=5e-3, **changes)


def test_rendered_songs_have_their_notes_where_they_sound(songs):
    (first, *_) = folders = sorted(songs.iterdir())
    assert len(folders) == 3
    audio, notes = np.load(first / "audio.npy"), np.load(first / "notes.npy")
    about = json.loads((first / "song.json").read_text())
    assert audio.dtype == np.int16
    assert audio.shape == (len(about["parts"]), 8 * RATE_HZ)
    assert set(notes[:, 0]) == set(range(len(audio)))
    assert (notes[:, 2] > notes[:, 1]).all()
    assert (np.diff(notes[:, 1]) >= 0).all()
    inner = notes[(notes[:, 1] > 0.4) & (notes[:, 1] < 7.5) & (notes[:, 2] > notes[:, 1] + 0.06)]
    # Not all: soft notes start under loud ones
    assert rising(audio, inner, 0.0) > 0.6
    assert rising(audio, inner, -0.07) < 0.4


def rising(audio, notes, by_s):
    """The share of notes at whose onsets, moved by some time, the part is louder just afterwards than just before."""
    rises = []
    for part, start_s, *_ in notes:
        at = round((start_s + by_s) * RATE_HZ)
        before, after = (audio[int(part), at + by : at + by + 880].astype(float).std() for by in (-1000, 220))
        rises.append(after > before)
    return np.mean(rises)


def test_retuned_samples_are_labelled_as_they_sound(tone):
    batch = Samples([tone], Mixing(n_frames=150), 40, seed=4).batch(0)
    heard = []
    for samples, onset in zip(batch.samples, batch.onset, strict=True):
        for key in np.flatnonzero(onset.max(axis=0) >= 0.9):
            at = int(onset[:, key].argmax()) * round(STEP_S * RATE_HZ)
            piece = samples[at + 2000 : at + 2000 + 8192]
            if len(piece) == 8192:
                hz = np.abs(np.fft.rfft(piece * np.hanning(8192), 65_536)).argmax() * RATE_HZ / 65_536
                heard.append((key + FIRST_PITCH, key + FIRST_PITCH - 69 - 12 * np.log2(hz / 440)))
    keys, misses = np.array(heard).T
    assert len(set(keys)) >= 5  # two notes, moved by up to two semitones
    assert np.quantile(np.abs(misses), 0.9) < 0.35


def test_rendering_again_keeps_what_is_there(songs):
    before = {path: path.stat().st_mtime_ns for path in songs.rglob("*.npy")}
    render(Job(songs, Sources((), synthetic=40), None, 0, 3, song_s=8.0), 1)
    assert {path: path.stat().st_mtime_ns for path in songs.rglob("*.npy")} == before


def test_targets_are_where_the_notes_are(tone):
    samples = Samples([tone], Mixing(n_frames=200, augmented=False), 1, seed=1)
    for number in range(6):
        batch = samples.batch(number)
        a4, e5 = 69 - FIRST_PITCH, 76 - FIRST_PITCH
        steps = np.flatnonzero(batch.onset[0, :, e5] == batch.onset[0, :, e5].max())
        if batch.onset[0, :, e5].max() < 1:
            continue  # the window of this sample does not hold the second note's onset
        onset_s = steps.mean() * STEP_S
        played = np.abs(batch.samples[0])
        # The tone of 659 Hz is half as loud as the one before it
        before, after = (played[round((onset_s + d) * RATE_HZ) :][: RATE_HZ // 20].max() for d in (-0.06, 0.01))
        assert before == pytest.approx(2 * after, rel=0.02)
        assert set(np.unique(batch.sounding)) <= {0.0, 1.0}
        assert batch.sounding[0, :, a4].sum() * STEP_S == pytest.approx(1.0, abs=0.03) or onset_s < 1.0
        frame = int(onset_s / FRAME_S)
        said = batch.velocity[0, frame - 2 : frame + 4, e5]
        assert np.isfinite(said).sum() == 3
        assert np.nanmin(said) == np.nanmax(said) == pytest.approx(50 / 127)
        assert batch.family[0, frame + 5, e5] == FAMILIES.index("brass")
        assert batch.family[0, frame + 5, a4] == NO_FAMILY
        return
    pytest.fail("none of six samples held the onset")


def test_of_two_parts_on_one_key_the_louder_is_taught(tmp_path):
    # A soft part strikes the key again and again that a loud one holds, and is alone before and after that
    soft = [[0, time_s, time_s + 0.2, 69, 30] for time_s in np.arange(0.5, 9.5, 0.5)]
    loud = [[1, 3.02, 7.02, 69, 120]]
    parts = [{"role": "chords", "family": family, "sound": "none"} for family in ("piano", "brass")]
    notes = np.array(sorted(soft + loud, key=lambda note: note[1]), np.float32)
    np.save(tmp_path / "notes.npy", notes)
    np.save(tmp_path / "audio.npy", np.zeros((2, 10 * RATE_HZ), np.int16))
    (tmp_path / "song.json").write_text(json.dumps({"seed": 0, "beat_s": 0.5, "parts": parts}))
    samples = Samples([tmp_path], Mixing(n_frames=300, augmented=False), 20, seed=0).batch(0)
    piano, brass = (FAMILIES.index(family) for family in ("piano", "brass"))
    a4 = 69 - FIRST_PITCH
    starts = ~np.isnan(samples.velocity[:, :, a4])
    velocities, families = samples.velocity[:, :, a4][starts], samples.family[:, :, a4][starts]
    taught = set(zip(np.rint(127 * velocities).astype(int).tolist(), families.tolist(), strict=True))
    assert taught == {(30, piano), (120, brass)}
    held = (samples.family[:, :, a4] == brass).sum(axis=1) * FRAME_S
    assert held.max() == pytest.approx(4, abs=0.1)


def test_a_batch_follows_from_its_number(songs):
    folders = sorted(songs.iterdir())
    first, again = (Samples(folders, MIXING, 2, seed=3).batch(7) for _ in range(2))
    other = Samples(folders, MIXING, 2, seed=3).batch(8)
    assert np.array_equal(first.samples, again.samples)
    assert np.array_equal(first.onset, again.onset)
    assert not np.array_equal(first.samples, other.samples)


def test_gradients_that_are_no_numbers_end_the_training(songs, tmp_path):
    run = Run(tmp_path / "run", recipe(2), torch.device("cpu"))
    run.network.heads.bias.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="step 0: gradients are no numbers"):
        run.train(sorted(songs.iterdir()))
    assert not list((tmp_path / "run").glob("*.pt"))


def test_training_that_goes_on_is_training_that_never_stopped(songs, tmp_path):
    whole = Run(tmp_path / "whole", recipe(10), torch.device("cpu"))
    whole.train(rendered_songs([songs]))
    # Longer from where its learning rate had not begun to fall
    Run(tmp_path / "halves", recipe(5), torch.device("cpu")).train(rendered_songs([songs]))
    second = Run(tmp_path / "halves", recipe(10), torch.device("cpu"))
    assert second.step == 4
    second.train(rendered_songs([songs]))
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(second.network.state_dict()[name].float(), value.float(), atol=1e-4), name


def test_what_is_exported_is_what_was_learned(tone, tmp_path):
    run = Run(tmp_path / "run", recipe(4), torch.device("cpu"))
    run.train([tone])
    assert export(run.folder / "checkpoint.pt", tmp_path / "weights.safetensors") == sum(
        parameter.numel() for parameter in run.network.parameters()
    )
    samples = np.load(tone / "audio.npy")[0].astype(np.float32) / 32768
    heard = NoteListener(tmp_path / "weights.safetensors").hear(samples)
    run.network.load_state_dict(run.average)
    run.network.eval()
    n_samples = 300 * FRAME_SAMPLES
    with torch.inference_mode():
        straight = run.network(torch.from_numpy(samples[:n_samples] * np.float32(gain_for(samples)))[None])
    middle = slice(100, 400)  # the end of a shorter recording sounds different
    assert np.abs(heard.sounding[middle] - straight.sounding[0, middle].numpy()).max() < 0.05


def test_training_learns(tone, tmp_path):
    run = Run(tmp_path / "run", replace(recipe(40), rate=0.2), torch.device("cpu"))
    run.train([tone])
    first, last = (json.loads(line)["loss"] for line in (run.folder / "log.jsonl").read_text().splitlines())
    assert last < 0.5 * first


def test_an_instrument_that_is_all_too_loud_costs_less_than_uneven_notes():
    velocity = torch.full((1, 10, 88), float("nan"))
    velocity[0, :, 40] = 0.5
    family = torch.zeros((1, 10, 88), dtype=torch.int64)
    even, uneven = torch.zeros_like(velocity), torch.zeros_like(velocity)
    even[0, :, 40] = 0.7
    uneven[0, :, 40] = 0.5 + 0.2 * torch.tensor([1.0, -1.0]).repeat(5)
    assert velocity_loss(velocity.nan_to_num(), velocity, family) == 0
    assert 0 < velocity_loss(even, velocity, family) < 0.3 * velocity_loss(uneven, velocity, family)
