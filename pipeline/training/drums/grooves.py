"""Random drum performances: repeated bars of rock, funk, metal, jazz and machines, with fills and scatter."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.training.drums.kits import Kit

Plan = list[tuple[int, str, float]]  # of one bar: step, kind, velocity


@dataclass(frozen=True)
class Hit:
    """One stroke; ``kind`` as in kits.py, ``voice`` counts the kit's drums of that kind, velocity 0-1."""

    time_s: float
    kind: str
    voice: int
    velocity: float


def _timekeeping(rng: np.random.Generator, steps: int) -> Plan:
    """Hat, ride, crash or tom pulse over one bar: (step, kind, velocity)."""
    beat = steps // 4
    at: Iterable[int]
    pulse = rng.choice(
        ["eighth", "quarter", "sixteenth", "offbeat", "swing", "broken"], p=[0.4, 0.15, 0.2, 0.1, 0.1, 0.05]
    )
    if pulse == "eighth":
        at = range(0, steps, max(1, beat // 2))
    elif pulse == "quarter":
        at = range(0, steps, beat)
    elif pulse == "sixteenth":
        at = range(0, steps)
    elif pulse == "offbeat":
        at = range(beat // 2, steps, beat)
    elif pulse == "swing":
        at = [s for s in range(steps) if s % beat == 0 or (s % (2 * beat)) == 2 * beat - 1]
    else:
        at = [s for s in range(steps) if rng.random() < 0.5]
    kind = rng.choice(["closed", "ride", "open", "crash", "tom", "none"], p=[0.56, 0.2, 0.07, 0.05, 0.05, 0.07])
    if kind == "none":
        return []
    accent, soft = rng.uniform(0.6, 1.0), rng.uniform(0.25, 0.9)
    return [(s, str(kind), accent if s % beat == 0 else accent * soft) for s in at]


def _bar_plan(rng: np.random.Generator, steps: int) -> Plan:
    """The repeated bar of a section: (step, kind, velocity)."""
    beat = steps // 4
    plan = _timekeeping(rng, steps)
    if rng.random() < 0.3:  # hats opening on some steps
        opened = set(rng.integers(0, steps, rng.integers(1, 4)))
        plan = [(s, "open" if k == "closed" and s in opened else k, v) for s, k, v in plan]
    if rng.random() < 0.25:
        plan += [(s, "pedal", 0.6) for s in (beat, 3 * beat)]
    density = rng.uniform(0.03, 0.3)
    if rng.random() < 0.2:
        kicks = set(range(0, steps, beat))
    else:
        kicks = {0} | {s for s in range(steps) if rng.random() < density * (1.5 if s % 2 == 0 else 0.6)}
    if rng.random() < 0.05:
        kicks = set(range(0, steps, 1 if rng.random() < 0.5 else 2))
    plan += [(s, "kick", rng.uniform(0.7, 1.0)) for s in kicks]
    snare = "stick" if rng.random() < 0.12 else "snare"
    backbeats = ((beat, 3 * beat), (2 * beat,), tuple(range(0, steps, beat)), ())
    backbeat = backbeats[rng.choice(len(backbeats), p=[0.7, 0.15, 0.07, 0.08])]
    plan += [(s, snare, rng.uniform(0.8, 1.0)) for s in backbeat]
    ghosts = rng.choice([0.0, 0.05, 0.15, 0.35], p=[0.4, 0.25, 0.25, 0.1])
    plan += [(s, "snare", rng.uniform(0.1, 0.4)) for s in range(steps) if s not in backbeat and rng.random() < ghosts]
    return plan


def _fill(rng: np.random.Generator, steps: int) -> Plan:
    """A bar that ends in a run over snare and toms."""
    start = int(rng.choice([0, steps // 2, 3 * steps // 4]))
    plan = [hit for hit in _bar_plan(rng, steps) if hit[0] < start]
    density = rng.uniform(0.5, 1.0)
    kind = "snare"
    for s in range(start, steps):
        if rng.random() < 0.35:
            kind = str(rng.choice(["snare", "tom", "tom", "tom"]))
        if rng.random() < density:
            plan.append((s, kind, rng.uniform(0.5, 1.0)))
        if rng.random() < 0.15:
            plan.append((s, "kick", rng.uniform(0.6, 1.0)))
        if rng.random() < 0.05:
            plan.append((s, str(rng.choice(["crash", "closed", "open"])), rng.uniform(0.6, 1.0)))
    return plan


def _scatter(rng: np.random.Generator, steps: int) -> Plan:
    """Anything at any step, so that the network does not learn the grammar of rock music by heart."""
    kinds = ("kick", "snare", "closed", "open", "tom", "crash", "ride", "stick", "pedal")
    odds = rng.uniform(0.0, 0.2, len(kinds))
    return [
        (s, k, rng.uniform(0.2, 1.0))
        for s in range(steps)
        for k, p in zip(kinds, odds, strict=True)
        if rng.random() < p
    ]


def _percussion(rng: np.random.Generator, steps: int) -> Plan:
    """A shaker, conga or cowbell beside the drums, which the transcriber must leave alone."""
    density, loud = rng.uniform(0.15, 0.9), rng.uniform(0.4, 1.0)
    step = int(rng.choice([1, 2, 4]))
    return [(s, "other", loud * rng.uniform(0.6, 1.0)) for s in range(0, steps, step) if rng.random() < density]


class Voices:
    """Which drum of a kind is struck: mostly the one settled on; toms and crashes wander."""

    def __init__(self, rng: np.random.Generator, kit: Kit) -> None:
        self._rng = rng
        self._kit = kit
        self._settled: dict[str, int] = {}

    def choose(self, kind: str) -> int:
        """Index of the drum in the kit's list of that kind."""
        wandering = 0.3 if kind in ("tom", "crash") else 0.02
        if kind not in self._settled or self._rng.random() < wandering:
            self._settled[kind] = int(self._rng.integers(len(self._kit[kind])))
        return self._settled[kind]


@dataclass(frozen=True)
class Feel:
    """How a performance is timed and struck."""

    step_s: float
    swing: float
    jitter_s: float
    looseness: float

    @staticmethod
    def drawn(rng: np.random.Generator, tempo_bpm: float, steps: int) -> "Feel":
        """A player's; of one performance in four a machine's, which is exact."""
        machine = rng.random() < 0.25
        return Feel(
            step_s=60 / tempo_bpm * 4 / steps,
            swing=rng.uniform(0, 0.33) if rng.random() < 0.3 else 0.0,
            jitter_s=0.0 if machine else rng.uniform(0.001, 0.012),
            looseness=0.0 if machine else rng.uniform(0.02, 0.12),
        )


def _this_bar(rng: np.random.Generator, plan: Plan, bar: int, steps: int) -> Plan:
    """The plan, a fill or scatter; crashes open sections."""
    this = list(plan)
    if (bar % 4 == 3 and rng.random() < 0.7) or rng.random() < 0.08:
        this = _fill(rng, steps)
    elif rng.random() < 0.12:
        this = _scatter(rng, steps)
    if bar % 4 == 0 and rng.random() < 0.6:
        this = [h for h in this if h[0] != 0 or h[1] not in ("closed", "ride")]
        this += [(0, "crash", rng.uniform(0.7, 1.0)), (0, "kick", 0.9)]
    return this


def compose(
    rng: np.random.Generator, kit: Kit, duration_s: float, tempo_bpm: float = 0.0, start_s: float = -1.0
) -> list[Hit]:
    """A random performance on a kit, in order of time.

    Args:
        rng: draws everything that is not given.
        kit: kinds it lacks are not struck.
        duration_s: of the piece.
        tempo_bpm: 0 for a random one.
        start_s: of the first bar; negative for a random one.
    """
    tempo_bpm = tempo_bpm or rng.uniform(70, 180)
    steps = int(rng.choice([16, 12, 32], p=[0.82, 0.15, 0.03]))  # of a bar: sixteenths, triplets, or a roll's
    feel = Feel.drawn(rng, tempo_bpm, steps)
    voices = Voices(rng, kit)
    percussion = _percussion(rng, steps) if rng.random() < 0.25 else []
    plan: Plan = []
    hits: list[Hit] = []
    time_s = start_s if start_s >= 0 else rng.uniform(0.05, 0.6)
    for bar in range(10_000):
        if time_s >= duration_s:
            break
        if bar == 0 or (bar % 4 == 0 and rng.random() < 0.6):
            plan = _bar_plan(rng, steps)
        for step, kind, aimed in _this_bar(rng, plan, bar, steps) + percussion:
            at = time_s + feel.step_s * (step + (feel.swing if step % 2 else 0.0)) + rng.normal(0, feel.jitter_s)
            if kind not in kit or not 0.01 < at < duration_s - 0.1:
                continue
            velocity = float(np.clip(aimed + rng.normal(0, feel.looseness), 0.08, 1.0))
            hits.append(Hit(at, kind, voices.choose(kind), velocity))
            if kind in ("snare", "tom") and rng.random() < 0.02:  # flam
                hits.append(Hit(at + rng.uniform(0.02, 0.04), kind, hits[-1].voice, velocity))
        time_s += feel.step_s * steps
    return sorted(hits, key=lambda h: h.time_s)
