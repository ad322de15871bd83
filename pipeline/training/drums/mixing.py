"""Strokes to sound: drums varied and mixed, then worn down as rooms, desks and separators do."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.signal

from pipeline.training.drums.grooves import Hit
from pipeline.training.drums.kits import RATE_HZ, FloatArray, Kit, Voice, one_of

# Typical peak of each kind of stroke in a mix.
GAINS = {
    "kick": 1.0,
    "snare": 0.9,
    "stick": 0.4,
    "closed": 0.22,
    "pedal": 0.16,
    "open": 0.28,
    "tom": 0.8,
    "crash": 0.4,
    "ride": 0.2,
    "other": 0.2,
}
_CHOKING = ("closed", "pedal", "open")
_CHOKE_FADE = 800  # samples


def random_filter(rng: np.random.Generator, spread_db: float, n_taps: int) -> npt.NDArray[np.float64]:
    """A smooth random curve as a linear-phase filter; sometimes with the air cut off."""
    hz = np.array([0, 60, 150, 400, 1000, 2500, 6000, 12_000, RATE_HZ / 2])
    gain_db = rng.normal(0, spread_db, len(hz))
    if rng.random() < 0.1:
        gain_db[-2:] -= rng.uniform(5, 30)
    return np.asarray(scipy.signal.firwin2(n_taps, hz, 10 ** (gain_db / 20), fs=RATE_HZ), dtype=np.float64)


class _Drum:
    """One drum of a kit, as it is or tuned, damped and equalised otherwise: a drum that nobody recorded."""

    def __init__(self, rng: np.random.Generator, voice: Voice, varied: bool) -> None:
        self._voice = voice
        self._varied = varied
        self._speed = 2 ** rng.normal(0, 0.16) if varied else 1.0
        self._damping = rng.uniform(0, 6) if varied and rng.random() < 0.5 else 0.0
        self._taps = random_filter(rng, rng.uniform(0, 5), 255)
        self._cache: dict[int, FloatArray] = {}
        self._velocities = np.array([velocity for velocity, _ in voice.layers])

    @property
    def pitch_hz(self) -> float:
        """Of a tom; 0 for others."""
        return self._voice.pitch_hz * self._speed

    def struck(self, velocity: float) -> FloatArray:
        """The layer nearest to the velocity, peak 1."""
        layer = int(np.argmin(np.abs(self._velocities - velocity)))
        if layer not in self._cache:
            self._cache[layer] = self._shaped(self._voice.layers[layer][1])
        return self._cache[layer]

    def _shaped(self, sample: FloatArray) -> FloatArray:
        if not self._varied:
            return sample
        positions = np.arange(0, len(sample) - 1, self._speed)
        shaped = np.interp(positions, np.arange(len(sample)), sample) * np.exp(-self._damping * positions / RATE_HZ)
        shaped = scipy.signal.oaconvolve(shaped, self._taps)[127:]
        return np.asarray(shaped / (np.abs(shaped).max() + 1e-9), dtype=np.float32)


def mix(
    rng: np.random.Generator, kit: Kit, hits: Sequence[Hit], duration_s: float, varied: bool
) -> tuple[FloatArray, list[float]]:
    """Sums the strokes; whatever closes the hats cuts off the open hat before it.

    Returns:
        The sound, dry, and for every hit the pitch of its tom in Hz (0 for other drums).
    """
    n = round(duration_s * RATE_HZ)
    audio = np.zeros(n, dtype=np.float32)
    gains = {kind: gain * 10 ** (rng.normal(0, 5) / 20) for kind, gain in GAINS.items()}
    power = rng.uniform(0.8, 2.2)
    drums: dict[tuple[str, int], _Drum] = {}
    hat_times = np.array([h.time_s for h in hits if h.kind in _CHOKING])
    pitches = []
    for hit in hits:
        drum = drums.get((hit.kind, hit.voice))
        if drum is None:
            drum = drums[hit.kind, hit.voice] = _Drum(rng, kit[hit.kind][hit.voice], varied)
        pitches.append(drum.pitch_hz)
        sample = gains[hit.kind] * hit.velocity**power * drum.struck(hit.velocity)
        if hit.kind == "open":
            sample = _choked(sample, hit.time_s, hat_times)
        first = round(hit.time_s * RATE_HZ)
        audio[first : first + len(sample)] += sample[: n - first]
    return audio, pitches


def _choked(sample: FloatArray, time_s: float, hat_times: npt.NDArray[np.float64]) -> FloatArray:
    later = hat_times[hat_times > time_s + 0.02]
    if not len(later):
        return sample
    sample = sample[: round((later[0] - time_s) * RATE_HZ) + _CHOKE_FADE].copy()
    fade = min(_CHOKE_FADE, len(sample))
    sample[len(sample) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return sample


_Audio = npt.NDArray[np.floating]


def _equalised(rng: np.random.Generator, audio: _Audio) -> _Audio:
    """What a room's and a desk's tone do to everything at once."""
    taps = random_filter(rng, rng.uniform(1, 5), 511).astype(np.float32)
    filtered: _Audio = scipy.signal.oaconvolve(audio, taps)[255 : 255 + len(audio)]
    return filtered


def _reverberated(rng: np.random.Generator, audio: _Audio) -> _Audio:
    """Early reflections and an exponential tail that darkens."""
    rt_s = rng.uniform(0.1, 1.3)
    t = np.arange(round(rt_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt_s)
    pole = rng.uniform(0, 0.8)
    tail = scipy.signal.lfilter([1 - pole], [1, -pole], tail)
    tail[: round(rng.uniform(0, 0.02) * RATE_HZ)] = 0
    response = (tail / np.sqrt((tail**2).sum() + 1e-9)).astype(np.float32)
    wet = scipy.signal.oaconvolve(audio, response)[: len(audio)]
    return np.asarray(audio + 10 ** (rng.uniform(-30, -4) / 20) * wet)


def _compressed(rng: np.random.Generator, audio: _Audio) -> _Audio:
    """Feed-forward compression with a soft clipper behind it."""
    pole = np.exp(-1 / (rng.uniform(0.02, 0.2) * RATE_HZ))
    level = scipy.signal.lfilter([1 - pole], [1, -pole], np.abs(audio))
    level /= level.max() + 1e-9
    squashed = audio * (level + 0.03) ** -rng.uniform(0, 0.6)
    peak = np.abs(squashed).max() + 1e-9
    return np.asarray(np.tanh(squashed / peak * rng.uniform(0.2, 3.0)))


def worn(rng: np.random.Generator, dry: FloatArray, leaks: Sequence[FloatArray]) -> FloatArray:
    """Room, desk, and what a separator leaves: bleed of other instruments, hiss, missing air."""
    audio = _equalised(rng, dry)
    if rng.random() < 0.75:
        audio = _reverberated(rng, audio)
    if rng.random() < 0.6:
        audio = _compressed(rng, audio)
    rms = np.sqrt((audio**2).mean()) + 1e-9
    if leaks and rng.random() < 0.55:
        leak = one_of(rng, leaks)
        first = int(rng.integers(0, len(leak) - len(audio)))
        bleed = _equalised(rng, leak[first : first + len(audio)])
        if rng.random() < 0.5:  # separators let most through while drums sound
            envelope = np.sqrt(scipy.signal.oaconvolve(audio**2, np.ones(2205) / 2205, mode="same").clip(0))
            bleed = bleed * envelope / (envelope.max() + 1e-9)
        bleed *= rms / (np.sqrt((bleed**2).mean()) + 1e-9)
        audio = audio + bleed * 10 ** (rng.uniform(-40, -6) / 20)
    if rng.random() < 0.5:
        hiss = rng.standard_normal(len(audio))
        audio = audio + hiss * rms * 10 ** (rng.uniform(-65, -25) / 20)
    if rng.random() < 0.2:
        low_pass = scipy.signal.butter(6, rng.uniform(9000, 17_000), fs=RATE_HZ, output="sos")
        audio = scipy.signal.sosfilt(low_pass, audio)
    return np.asarray(audio / (np.abs(audio).max() + 1e-9) * 10 ** (rng.uniform(-20, 0) / 20), dtype=np.float32)
