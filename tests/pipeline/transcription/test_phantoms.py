"""Where stems are played, on songs made up so that it is known."""

import numpy as np
import pytest

from pipeline.audio.source import AudioSource
from pipeline.models.store import ModelStore
from pipeline.transcription.phantoms import EVERYWHERE, presences
from pipeline.transcription.pitch_track import PitchNetwork
from support.voices import organ_tune, singer

RATE_HZ = 44_100
DURATION_S = 24


@pytest.fixture
def source(tmp_path):
    def write(samples: np.ndarray) -> AudioSource:
        """Mono samples as a decoded file."""
        path = tmp_path / f"stem{len(list(tmp_path.iterdir()))}.f32"
        np.asarray(samples, dtype="<f4").tofile(path)
        return AudioSource(path, RATE_HZ, 1, len(samples))

    return write


@pytest.fixture
def pitch_network(tmp_path_factory) -> PitchNetwork:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.pull("swift-f0")
    return PitchNetwork(*store.require("swift-f0"))


def no_network() -> PitchNetwork:
    raise AssertionError("no voice is to be followed here")


def beats() -> np.ndarray:
    """Noise that decays within a tenth of a second, twice a second."""
    time_s = np.arange(DURATION_S * RATE_HZ) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(time_s))
    return 0.3 * noise * np.exp(-40 * (time_s % 0.5))


def tune(low_hz: float) -> np.ndarray:
    """Five tones of four partials over and over, half a second each."""
    time_s = np.arange(DURATION_S * RATE_HZ) / RATE_HZ
    hz = low_hz * 2 ** (np.array([0, 4, 7, 12, 7])[(2 * time_s).astype(int) % 5] / 12)
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    return 0.2 * sum(np.sin(partial * phase) / partial for partial in range(1, 5)) * np.exp(-2 * (time_s % 0.5))


def decibels(level_db: float) -> float:
    return 10 ** (level_db / 20)


def test_a_faint_copy_of_another_stem_is_a_phantom_and_belongs_to_that_stem(source):
    played = {"drums": beats(), "other": tune(220.0)}
    leaks = {"bass": decibels(-25) * tune(220.0) + decibels(-50) * beats(), "guitar": decibels(-30) * beats()}
    found = presences({name: source(samples) for name, samples in (played | leaks).items()}, no_network)
    assert found["bass"].spans == found["guitar"].spans == ()
    assert (found["bass"].home, found["bass"].purity) == ("other", 0.0)
    for name in played:
        ((start_s, end_s),) = found[name].spans
        assert start_s == 0
        assert end_s >= DURATION_S
        assert found[name].purity > 0.95
        assert found[name].home is None


def test_what_leaks_out_of_drums_does_not_go_back(source):
    played = {"drums": beats(), "other": decibels(-10) * tune(220.0)}
    found = presences({"bass": source(decibels(-30) * beats())} | {k: source(v) for k, v in played.items()}, no_network)
    assert found["bass"].spans == ()
    assert found["bass"].home == "other"


def test_a_quiet_stem_is_played_when_what_it_holds_is_its_own(source):
    stems = {"drums": beats(), "other": tune(220.0), "piano": decibels(-25) * tune(1500.0)}
    found = presences({name: source(samples) for name, samples in stems.items()}, no_network)
    assert len(found["piano"].spans) == 1
    assert found["piano"].purity > 0.9


def test_a_stem_is_played_from_where_it_enters_and_through_short_pauses(source):
    bass = tune(60.0)
    bass[: 9 * RATE_HZ] *= decibels(-60)
    bass[15 * RATE_HZ : 16 * RATE_HZ] = 0.0
    ((start_s, end_s),) = presences({"bass": source(bass), "other": source(tune(440.0))}, no_network)["bass"].spans
    assert 6.5 < start_s <= 9
    assert end_s >= DURATION_S


def test_stems_that_hold_the_same_do_not_hide_each_other(source):
    found = presences({"bass": source(tune(220.0)), "other": source(tune(220.0))}, no_network)
    assert all(presence.spans for presence in found.values())


def test_silence_is_played_by_nobody(source):
    found = presences({name: source(np.zeros(5 * RATE_HZ)) for name in ("bass", "vocals")}, no_network)
    assert [presence.spans for presence in found.values()] == [(), ()]


def test_a_stem_alone_or_with_others_of_another_length_has_nothing_to_be_compared_with(source):
    quiet = source(decibels(-50) * tune(220.0))
    assert presences({"vocals": quiet}, no_network) == {"vocals": EVERYWHERE}
    found = presences({"vocals": quiet, "other": source(tune(220.0)[: 5 * RATE_HZ])}, no_network)
    assert found == {"vocals": EVERYWHERE, "other": EVERYWHERE}


def test_empty_stems_have_nothing_to_be_compared(source):
    stems = {name: source(np.zeros(0)) for name in ("drums", "vocals")}
    assert presences(stems, no_network) == dict.fromkeys(stems, EVERYWHERE)


def test_an_instrument_taken_for_a_voice_goes_back_to_the_others(source, pitch_network):
    stems = {"other": tune(110.0), "vocals": organ_tune(DURATION_S, RATE_HZ)}
    found = presences({name: source(samples) for name, samples in stems.items()}, lambda: pitch_network)
    assert (found["vocals"].spans, found["vocals"].home) == ((), "other")


def test_without_an_accompaniment_the_solo_is_the_song(source):
    bass = np.concatenate([tune(55.0)[: 10 * RATE_HZ], np.zeros(len(tune(55.0)) - 10 * RATE_HZ)])
    stems = {"bass": bass, "other": np.zeros(len(bass)), "vocals": organ_tune(DURATION_S, RATE_HZ)[: len(bass)]}
    found = presences({name: source(samples) for name, samples in stems.items()}, no_network)
    assert found["vocals"].spans
    assert not found["other"].spans


@pytest.mark.parametrize("level_db", [0, -18])
def test_a_singer_is_kept_where_singing(source, pitch_network, level_db):
    sung = np.concatenate([np.zeros(8 * RATE_HZ), decibels(level_db) * singer(DURATION_S - 8, RATE_HZ)])
    found = presences({"other": source(tune(110.0)), "vocals": source(sung)}, lambda: pitch_network)
    ((start_s, end_s),) = found["vocals"].spans
    assert 5.5 < start_s <= 8.2
    assert end_s >= DURATION_S


def test_progress_rises_to_the_end(source, pitch_network):
    seen: list[float] = []
    presences({"other": source(tune(110.0)), "vocals": source(tune(440.0))}, lambda: pitch_network, seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
