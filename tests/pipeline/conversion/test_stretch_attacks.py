"""Where attacks are found, and which moments of the input are heard around them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.conversion.attacks import AttackFinder
from pipeline.conversion.time_map import TimeMap

RATE_HZ = 44_100
SIZE = 4096
HALF = SIZE // 2


def found_at_s(audio: NDArray[np.float32]) -> list[float]:
    finder = AttackFinder(RATE_HZ, audio.shape[0])
    found = []
    for at in range(0, audio.shape[1], 10_007):
        found += finder.push(audio[:, at : at + 10_007])
        assert finder.known <= at + 10_007
        assert all(attack.at < finder.known + RATE_HZ // 100 for attack in found)
    found += finder.finish()
    return [attack.at / RATE_HZ for attack in found if attack.at > 0.05 * RATE_HZ]  # the beginning is one, too


def clicks(*at: int, n: int = 2 * RATE_HZ) -> NDArray[np.float32]:
    audio = np.zeros((1, n), dtype=np.float32)
    audio[0, list(at)] = 0.5
    return audio


def test_strokes_are_found_to_the_millisecond_among_tones() -> None:
    rng = np.random.default_rng(0)
    at_s = [0.2, 0.5, 0.73, 1.31]
    audio = 0.2 * np.sin(np.arange(2 * RATE_HZ) * 0.03)
    for one in at_s:
        start = round(one * RATE_HZ)
        audio[start : start + 4000] += 0.3 * rng.uniform(-1, 1, 4000) * np.exp(-np.arange(4000) / 1000)
    assert found_at_s(audio.astype(np.float32)[None]) == pytest.approx(at_s, abs=0.001)


@pytest.mark.parametrize("sound", ["silence", "noise", "chord", "swell", "beating"])
def test_what_is_steady_has_no_attacks(sound: str) -> None:
    at_s = np.arange(2 * RATE_HZ) / RATE_HZ
    made = {
        "silence": np.zeros_like(at_s),
        "noise": np.random.default_rng(0).normal(0, 0.1, len(at_s)),
        "chord": sum(np.sin(2 * np.pi * hz * at_s) for hz in (110, 139, 165)) / 6,
        "swell": at_s * np.sin(2 * np.pi * 330 * at_s) / 3,
        "beating": np.sin(2 * np.pi * 440 * at_s) * np.sin(2 * np.pi * 3 * at_s) / 2,
    }[sound]
    assert found_at_s(made.astype(np.float32)[None]) == []


@pytest.mark.parametrize("tempo", [0.25, 0.5, 1.25, 4.0])
def test_around_an_attack_the_input_is_copied_and_elsewhere_it_goes_steadily(tempo: float) -> None:
    at = RATE_HZ
    time_map = TimeMap(tempo, SIZE, RATE_HZ, 1)
    time_map.push(clicks(at))
    time_map.finish()
    there = at / tempo
    for place in range(0, round(2 * RATE_HZ / tempo), 512):
        centre, attack = time_map.place(place)
        if abs(place - there) <= HALF:
            assert attack is not None
            assert centre == pytest.approx(at + place - there, abs=30)  # the attack is known to a block of 33 samples
        else:
            assert attack is None
            assert not at - HALF + 33 < centre < at + HALF - 33  # no other window hears it
            if abs(place - there) > HALF * max(1.0, 1 / tempo) + 100:
                assert centre == pytest.approx(place * tempo, abs=1)


def test_of_two_attacks_that_are_close_the_stronger_is_kept() -> None:
    audio = clicks(20_000, 22_000, 60_000)
    audio[0, 20_000] = 0.01
    time_map = TimeMap(0.5, SIZE, RATE_HZ, 1)
    time_map.push(audio)
    time_map.finish()
    kept = {attack.at for place in range(0, 170_000, 1024) if (attack := time_map.place(place)[1]) is not None}
    assert sorted(kept) == pytest.approx([22_000, 60_000], abs=30)


def test_nothing_is_placed_before_it_is_known() -> None:
    """An attack that is still to come could change where a window is taken from."""
    time_map = TimeMap(1.5, SIZE, RATE_HZ, 1)
    assert not time_map.is_known(0)
    time_map.push(clicks(10_000, n=RATE_HZ))
    last = max(place for place in range(0, RATE_HZ, 64) if time_map.is_known(place))
    assert RATE_HZ - 3 * SIZE < time_map.reach(last) - SIZE < RATE_HZ
    time_map.finish()
    assert time_map.is_known(10 * RATE_HZ)
