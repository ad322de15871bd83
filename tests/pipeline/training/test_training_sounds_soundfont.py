"""A General MIDI soundfont by FluidSynth, where there is one: which programs play, on time and in tune."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelMissing
from pipeline.models.store import ModelStore, default_root
from pipeline.training.sounds.base import RATE_HZ, Played, Sound
from pipeline.training.sounds.collection import Sources, load_sounds
from pipeline.training.sounds.tuning import check_tuning

pytest.importorskip("fluidsynth", reason="FluidSynth is not on this system", exc_type=ImportError)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sound]:
    """By name."""
    folder = tmp_path_factory.mktemp("models")
    ModelStore(folder).pull("timgm6mb")
    [path] = folder.rglob("TimGM6mb*.sf2")
    sounds, left_out = load_sounds(Sources((path.rename(path.with_name("font.sf2")),)))
    assert left_out == []
    assert len({sound.name for sound in sounds}) == len(sounds)
    return {sound.name: sound for sound in sounds}


def test_programs_with_a_pitch_play(sounds) -> None:
    assert {"font:000", "font:048", "font:080"} <= set(sounds)
    assert not {"font:127", "font:047", "font:031"} & set(sounds), "a gunshot, timpani, harmonics two octaves up"
    assert sounds["font:048"].family == "strings"


def test_variations_of_other_banks_have_names_of_their_own_and_the_family_of_their_program() -> None:
    store = ModelStore(Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root()))
    try:
        [path] = store.require("fluidr3-mono")
    except ModelMissing as missing:
        pytest.skip(f"an optional soundfont: {missing}")
    found, _ = load_sounds(Sources((path,)))
    families = {sound.name: sound.family for sound in found}
    assert families[f"{path.stem}:008:016"] == families[f"{path.stem}:016"] == "organ"
    assert families[f"{path.stem}:016:025"] == "guitar", "a mandolin"
    assert f"{path.stem}:008:014" not in families, "a bell an octave below its key"


@pytest.mark.parametrize("program", ["000", "048", "073"])
def test_it_is_on_time_and_in_tune(sounds, program: str) -> None:
    sound = sounds[f"font:{program}"]
    assert abs(check_tuning(sound)) < 15
    level = np.abs(sound.play([Played(1.0, 1.5, 72, 100)], 3.0, np.random.default_rng(0)).samples)
    first = np.argmax(level > 0.05 * level[RATE_HZ : RATE_HZ * 3 // 2].max()) / RATE_HZ
    assert first == pytest.approx(1.0, abs=0.012)


def test_what_was_played_before_does_not_ring_into_what_is_played_now(sounds) -> None:
    """Nor into the measuring of delays, which would then find none."""
    strings = sounds["font:048"]
    strings.play([Played(0.1, 1.0, 60, 100)], 1.0, np.random.default_rng(0))  # still held at its end
    after = strings.play([Played(1.0, 1.5, 72, 100)], 2.0, np.random.default_rng(0)).samples
    assert np.abs(after[: RATE_HZ // 2]).max() < 1e-3 * np.abs(after).max()
