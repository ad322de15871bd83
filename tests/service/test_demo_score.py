"""The demo's score agrees with mir_eval."""

import mir_eval
import numpy as np
import pytest

from service.demo.score import score_notes


@pytest.mark.parametrize("seed", range(5))
def test_the_same_as_mir_eval(seed: int) -> None:
    random = np.random.default_rng(seed)

    def notes(n: int) -> list[dict[str, float]]:
        return [{"pitch": int(random.integers(50, 56)), "start": float(random.uniform(0, 8))} for _ in range(n)]

    found, true = notes(60), notes(50)

    def intervals(items: list[dict[str, float]]) -> np.ndarray:
        return np.array([[note["start"], note["start"] + 0.1] for note in items])

    def hertz(items: list[dict[str, float]]) -> np.ndarray:
        return mir_eval.util.midi_to_hz(np.array([note["pitch"] for note in items]))

    precision, recall, f_measure, _ = mir_eval.transcription.precision_recall_f1_overlap(
        intervals(true), hertz(true), intervals(found), hertz(found), offset_ratio=None
    )
    score = score_notes(found, true, drums=False)
    assert (score.precision, score.recall, score.f_measure) == pytest.approx((precision, recall, f_measure))


def test_drums_match_by_class_and_nothing_is_nothing() -> None:
    found, true = [{"pitch": 44, "start": 1.0}], [{"pitch": 42, "start": 1.04}]
    assert score_notes(found, true, drums=True).f_measure == 1.0
    assert score_notes(found, true, drums=False).f_measure == 0.0
    assert score_notes([], true, drums=True).f_measure == 0.0
    assert score_notes([], [], drums=True).f_measure == 0.0
