"""Random drum performances with known hits, mixed from samples and worn down as recordings and separators do."""

from dataclasses import dataclass

import numpy as np
import scipy.signal
from drum_kits import RATE_HZ, Kit, Voice

# Typical peak of each kind of stroke in a mix.
GAINS = {"kick": 1.0, "snare": 0.9, "stick": 0.4, "closed": 0.22, "open": 0.28, "tom": 0.8, "crash": 0.4, "ride": 0.2}


@dataclass(frozen=True)
class Hit:
    """One stroke; ``kind`` as in drum_kits, ``voice`` counts the kit's drums of that kind, velocity 0-1."""

    time_s: float
    kind: str
    voice: int
    velocity: float


def _timekeeping(rng: np.random.Generator, steps: int) -> list[tuple[int, str, float]]:
    """Hat, ride, crash or tom pulse over one bar: (step, kind, velocity)."""
    beat = steps // 4
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


def _bar_plan(rng: np.random.Generator, steps: int) -> list[tuple[int, str, float]]:
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


def _fill(rng: np.random.Generator, steps: int) -> list[tuple[int, str, float]]:
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


def _scatter(rng: np.random.Generator, steps: int) -> list[tuple[int, str, float]]:
    """Anything at any step, so that the network does not learn the grammar of rock music by heart."""
    kinds = ("kick", "snare", "closed", "open", "tom", "crash", "ride", "stick", "pedal")
    odds = rng.uniform(0.0, 0.2, len(kinds))
    return [
        (s, k, rng.uniform(0.2, 1.0))
        for s in range(steps)
        for k, p in zip(kinds, odds, strict=True)
        if rng.random() < p
    ]


def _voice(rng: np.random.Generator, kind: str, kit: Kit, settled: dict[str, int]) -> int:
    """Which drum of a kind: mostly the one settled on, toms and crashes wander."""
    count = len(kit[kind])
    if kind not in settled or rng.random() < (0.3 if kind in ("tom", "crash") else 0.02):
        settled[kind] = int(rng.integers(count))
    return settled[kind]


def compose(rng: np.random.Generator, kit: Kit, duration_s: float) -> list[Hit]:
    """A random performance on a kit."""
    tempo_bpm = rng.uniform(70, 180)
    steps = int(rng.choice([16, 12], p=[0.85, 0.15]))  # of a bar: sixteenths, or triplets
    step_s = 60 / tempo_bpm * 4 / steps
    swing = rng.uniform(0, 0.33) if rng.random() < 0.3 else 0.0
    jitter_s, loose = rng.uniform(0.001, 0.012), rng.uniform(0.02, 0.12)
    settled: dict[str, int] = {}
    hits: list[Hit] = []
    bar = 0
    plan = _bar_plan(rng, steps)
    time_s = rng.uniform(0.05, 0.6)
    while time_s < duration_s:
        if bar % 4 == 0 and rng.random() < 0.6:
            plan = _bar_plan(rng, steps)
        this_bar = list(plan)
        if (bar % 4 == 3 and rng.random() < 0.7) or rng.random() < 0.08:
            this_bar = _fill(rng, steps)
        elif rng.random() < 0.12:
            this_bar = _scatter(rng, steps)
        if bar % 4 == 0 and rng.random() < 0.6:
            this_bar = [h for h in this_bar if h[0] != 0 or h[1] not in ("closed", "ride")]
            this_bar += [(0, "crash", rng.uniform(0.7, 1.0)), (0, "kick", 0.9)]
        for step, kind, velocity in this_bar:
            at = time_s + step_s * (step + (swing if step % 2 else 0.0)) + rng.normal(0, jitter_s)
            pedal = kind == "pedal"
            kind = "closed" if pedal else kind
            if kind not in kit or not 0.01 < at < duration_s - 0.1:
                continue
            voice = len(kit[kind]) - 1 if pedal else _voice(rng, kind, kit, settled)
            velocity = float(np.clip(velocity + rng.normal(0, loose), 0.08, 1.0))
            hits.append(Hit(at, kind, voice, velocity))
            if kind in ("snare", "tom") and rng.random() < 0.02:  # flam
                hits.append(Hit(at + rng.uniform(0.02, 0.04), kind, voice, velocity))
        time_s += step_s * steps
        bar += 1
    return sorted(hits, key=lambda h: h.time_s)


def _random_filter(rng: np.random.Generator, spread_db: float, n_taps: int) -> np.ndarray:
    """A smooth random curve as a linear-phase filter; sometimes with the air cut off."""
    hz = np.array([0, 60, 150, 400, 1000, 2500, 6000, 12_000, RATE_HZ / 2])
    gain_db = rng.normal(0, spread_db, len(hz))
    if rng.random() < 0.1:
        gain_db[-2:] -= rng.uniform(5, 30)
    return scipy.signal.firwin2(n_taps, hz, 10 ** (gain_db / 20), fs=RATE_HZ)


def _varied_voice(rng: np.random.Generator, voice: Voice) -> Voice:
    """The same drum tuned, damped and equalised otherwise: a drum that nobody recorded."""
    speed = 2 ** rng.normal(0, 0.16)
    damping = rng.uniform(0, 6) if rng.random() < 0.5 else 0.0
    taps = _random_filter(rng, rng.uniform(0, 5), 255)
    varied = []
    for velocity, sample in voice:
        positions = np.arange(0, len(sample) - 1, speed)
        shaped = np.interp(positions, np.arange(len(sample)), sample) * np.exp(-damping * positions / RATE_HZ)
        shaped = scipy.signal.fftconvolve(shaped, taps)[127:]
        varied.append((velocity, np.float32(shaped / (np.abs(shaped).max() + 1e-9))))
    return varied


def varied_kit(rng: np.random.Generator, kit: Kit) -> Kit:
    """Up to three drums of each kind, each a little different from the one sampled."""
    varied = {}
    for kind, voices in kit.items():
        chosen = sorted(rng.permutation(len(voices))[:3])
        varied[kind] = [_varied_voice(rng, voices[i]) for i in chosen]
    return varied


def _sample(voice: Voice, velocity: float, power: float) -> np.ndarray:
    """The layer nearest to the velocity, at the loudness a player's velocity gives."""
    _, sample = min(voice, key=lambda layer: abs(layer[0] - velocity))
    return sample * velocity**power


def mix(rng: np.random.Generator, kit: Kit, hits: list[Hit], duration_s: float) -> np.ndarray:
    """Sums the samples; a hat cuts off the open hat before it."""
    n = round(duration_s * RATE_HZ)
    audio = np.zeros(n, dtype=np.float32)
    gains = {kind: gain * 10 ** (rng.normal(0, 5) / 20) for kind, gain in GAINS.items()}
    power = rng.uniform(1.0, 2.0)
    hat_times = np.array([h.time_s for h in hits if h.kind in ("closed", "open")])
    for hit in hits:
        sample = gains[hit.kind] * _sample(kit[hit.kind][hit.voice], hit.velocity, power)
        if hit.kind == "open":
            later = hat_times[hat_times > hit.time_s + 0.02]
            if len(later):
                cut = round((later[0] - hit.time_s) * RATE_HZ)
                sample = sample[: cut + 800].copy()
                fade = min(800, len(sample))
                sample[len(sample) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        first = round(hit.time_s * RATE_HZ)
        audio[first : first + len(sample)] += sample[: n - first]
    return audio


def _equalised(rng: np.random.Generator, audio: np.ndarray) -> np.ndarray:
    """What a room's and a desk's tone do to everything at once."""
    taps = _random_filter(rng, rng.uniform(1, 5), 1023)
    return scipy.signal.fftconvolve(audio, taps)[511 : 511 + len(audio)]


def _reverberated(rng: np.random.Generator, audio: np.ndarray) -> np.ndarray:
    """Early reflections and an exponential tail that darkens."""
    rt_s = rng.uniform(0.1, 1.3)
    t = np.arange(round(rt_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt_s)
    pole = rng.uniform(0, 0.8)
    tail = scipy.signal.lfilter([1 - pole], [1, -pole], tail)
    tail[: round(rng.uniform(0, 0.02) * RATE_HZ)] = 0
    wet = scipy.signal.fftconvolve(audio, tail / np.sqrt((tail**2).sum() + 1e-9))[: len(audio)]
    return audio + 10 ** (rng.uniform(-30, -4) / 20) * wet


def _compressed(rng: np.random.Generator, audio: np.ndarray) -> np.ndarray:
    """Feed-forward compression with a soft clipper behind it."""
    pole = np.exp(-1 / (rng.uniform(0.02, 0.2) * RATE_HZ))
    level = scipy.signal.lfilter([1 - pole], [1, -pole], np.abs(audio))
    level /= level.max() + 1e-9
    squashed = audio * (level + 0.03) ** -rng.uniform(0, 0.6)
    peak = np.abs(squashed).max() + 1e-9
    drive = rng.uniform(0.2, 3.0)
    return np.tanh(squashed / peak * drive)


def worn(rng: np.random.Generator, dry: np.ndarray, leaks: list[np.ndarray]) -> np.ndarray:
    """Room, desk, and what a separator leaves: bleed of other instruments, hiss, missing air."""
    audio = _equalised(rng, dry)
    if rng.random() < 0.75:
        audio = _reverberated(rng, audio)
    if rng.random() < 0.6:
        audio = _compressed(rng, audio)
    rms = np.sqrt((audio**2).mean()) + 1e-9
    if rng.random() < 0.55:
        leak = leaks[rng.integers(len(leaks))]
        first = int(rng.integers(0, len(leak) - len(audio)))
        bleed = _equalised(rng, leak[first : first + len(audio)])
        if rng.random() < 0.5:  # separators let most through while drums sound
            envelope = np.sqrt(scipy.signal.fftconvolve(audio**2, np.ones(2205) / 2205, mode="same").clip(0))
            bleed = bleed * envelope / (envelope.max() + 1e-9)
        bleed *= rms / (np.sqrt((bleed**2).mean()) + 1e-9)
        audio = audio + bleed * 10 ** (rng.uniform(-40, -8) / 20)
    if rng.random() < 0.5:
        hiss = rng.standard_normal(len(audio))
        audio = audio + hiss * rms * 10 ** (rng.uniform(-65, -25) / 20)
    if rng.random() < 0.2:
        low_pass = scipy.signal.butter(6, rng.uniform(9000, 17_000), fs=RATE_HZ, output="sos")
        audio = scipy.signal.sosfilt(low_pass, audio)
    return np.asarray(audio / (np.abs(audio).max() + 1e-9) * 10 ** (rng.uniform(-20, 0) / 20), dtype=np.float32)
