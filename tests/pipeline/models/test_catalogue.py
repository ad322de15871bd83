"""The table of weights against what demucs and basic-pitch themselves say, and its soundfonts."""

from importlib import resources

import pytest
import yaml

from pipeline.models.catalogue import CATALOGUE, DebianSource, DistributionSource, soundfonts
from pipeline.models.network import load_separation_model
from pipeline.models.soundfonts import Soundfont, installed_soundfont
from pipeline.models.store import ModelStore


@pytest.mark.parametrize("name", ["htdemucs", "htdemucs_6s", "htdemucs_ft"])
def test_networks_and_weights_are_those_of_demucs(name):
    bag = yaml.safe_load((resources.files("demucs") / "remote" / f"{name}.yaml").read_text())
    entry = CATALOGUE[name]
    assert [file.name for file in entry.files] == [f"{signature}.safetensors" for signature in bag["models"]]
    assert [list(row) for row in entry.bag_weights or ()] == bag.get("weights", [])


@pytest.mark.weights
def test_stems_are_those_of_the_loaded_model_in_its_order(model_store):
    assert CATALOGUE["htdemucs"].stems == load_separation_model("htdemucs", model_store).sources


def test_separators_have_stems_one_for_each_weight_of_a_bag():
    for entry in CATALOGUE.values():
        assert bool(entry.stems) == (entry.purpose == "separation")
        assert {len(row) for row in entry.bag_weights or ()} <= {len(entry.stems)}


def test_basic_pitch_comes_from_the_installed_package(tmp_path):
    store = ModelStore(tmp_path)
    (path,) = store.pull("basic-pitch")
    store.verify("basic-pitch")
    assert path.stat().st_size == CATALOGUE["basic-pitch"].size_bytes


def test_a_soundfont_is_there_on_every_machine(tmp_path):
    store = ModelStore(tmp_path)
    assert installed_soundfont(store) is None
    (path,) = store.pull("timgm6mb")
    store.verify("timgm6mb")
    assert path.read_bytes()[:4] == b"RIFF"
    assert installed_soundfont(store) == Soundfont("timgm6mb", path)


def test_the_better_soundfont_is_preferred(tmp_path):
    """Which only a machine with apt can fetch; the other one comes with a dependency."""
    assert soundfonts() == ("fluidr3-mono", "timgm6mb")
    better, always = (CATALOGUE[name] for name in soundfonts())
    assert [type(source) for source in better.sources] == [DebianSource]
    assert [type(source) for source in always.sources] == [DistributionSource]
    store = ModelStore(tmp_path)
    store.pull("timgm6mb")
    folder = tmp_path / "fluidr3-mono"
    folder.mkdir()
    with (folder / better.files[0].name).open("wb") as file:
        file.truncate(better.size_bytes)  # told from name and size
    assert installed_soundfont(store) == Soundfont("fluidr3-mono", folder / better.files[0].name)


def test_licences_are_told_plainly():
    for entry in CATALOGUE.values():
        assert entry.licence
        if entry.purpose == "separation":
            assert "scientific purposes" in entry.licence
    assert CATALOGUE["fluidr3-mono"].licence.startswith("MIT")
    assert CATALOGUE["timgm6mb"].licence.startswith("GPL-2")
