"""A General MIDI soundfont by FluidSynth, where there is one: which programs play, on time and in tune."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.models.store import ModelStore
from pipeline.training.sounds.base import RATE_HZ, Played, Sound
from pipeline.training.sounds.collection import Sources, load_sounds
from pipeline.training.sounds.tuning import check_tuning

pytest.importorskip("fluidsynth", reason="FluidSynth is not on this system", exc_type=ImportError)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sound]:
    """By name."""
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.pull("timgm6mb")
    [path] = Path(tmp_path_factory.getbasetemp()).rglob("TimGM6mb*.sf2")
    sounds, left_out = load_sounds(Sources((path.rename(path.with_name("font.sf2")),)))
    assert left_out == []
    assert len({sound.name for sound in sounds}) == len(sounds)
    return {sound.name: sound for sound in sounds}


def test_programs_with_a_pitch_play_and_variations_of_other_banks_have_the_family_of_theirs(sounds) -> None:
    assert "font:000" in sounds
    assert "font:127" not in sounds, "a gunshot"
    for name, sound in sounds.items():
        _, *bank, program = name.split(":")
        assert sound.family == sounds[f"font:{program}"].family
        assert bank != ["000"], "the first bank's have no bank in their names"


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
