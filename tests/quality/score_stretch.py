"""How well the time-stretcher keeps time, attacks, tones and stereo, beside others.

    python tests/quality/score_stretch.py

Prints a table: our stretcher, ffmpeg's rubberband filter (of the first ffmpeg found that has it), and Signalsmith
Stretch where the package python-stretch is installed.  The sounds are made here, at 44.1 kHz, each for
every tempo:

    sine     440 Hz; how many dB louder than all that is not that sine.
    chord    eight sines from 110 Hz to 660 Hz, likewise.
    clicks   six single samples; how far they lie from their times, on average and at most, in ms, and what is left of
             their height.
    drums    twenty strokes of noise among the tones of the chord; how much louder the 15 ms after a stroke are than
             those from 15 ms to 3 ms before it, in dB: what is heard of it too early.  Measured above the tones.
    stereo   noise on both sides, 8 samples later on the right: how alike the sides stay, 0-1.
    speed    seconds of input per second, for a minute of stereo.

Others' constant delay is measured by the clicks and taken off first.
"""

import contextlib
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.conversion.stretch import Stretcher

RATE_HZ = 44_100
TEMPI = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)
_CHORD_HZ = tuple(110 * 2 ** (semitone / 12) for semitone in (0, 7, 12, 16, 19, 24, 28, 31))
_LENGTH_S = 6.0
_CLICKS_S = np.array([0.6, 1.37, 2.511, 3.3, 4.33, 5.2])
_STROKES_S = np.arange(0.5, 5.5, 0.25)

Audio = NDArray[np.float32]
Stretch = Callable[[Audio, float], Audio]


def ours(audio: Audio, tempo: float) -> Audio:
    """Pushed in blocks, as a conversion does."""
    stretcher = Stretcher(RATE_HZ, audio.shape[0], tempo)
    blocks = [stretcher.push(audio[:, at : at + (1 << 18)]) for at in range(0, audio.shape[1], 1 << 18)]
    return np.concatenate([*blocks, stretcher.finish()], axis=1)


def ffmpeg_filter(program: str, text: str) -> Stretch:
    """A filter of ffmpeg; ``{}`` in its text is the tempo."""

    def stretch(audio: Audio, tempo: float) -> Audio:
        form = ["-f", "f32le", "-ar", str(RATE_HZ), "-ac", str(audio.shape[0])]
        command = [program, "-loglevel", "error", *form, "-i", "pipe:0", "-af", text.format(tempo), *form, "pipe:1"]
        done = subprocess.run(command, input=audio.T.astype("<f4").tobytes(), capture_output=True, check=True)
        return np.frombuffer(done.stdout, "<f4").reshape(-1, audio.shape[0]).T

    return stretch


def systems() -> Iterator[tuple[str, Stretch]]:
    yield "ours", ours
    for program in filter(None, (shutil.which("ffmpeg"), imageio_ffmpeg.get_ffmpeg_exe())):
        filters = subprocess.run([program, "-hide_banner", "-filters"], capture_output=True, text=True).stdout
        if " rubberband " in filters:
            yield "rubberband", ffmpeg_filter(program, "rubberband=tempo={}:channels=together")
            break
    with contextlib.suppress(ImportError):
        from python_stretch.Signalsmith import Stretch as Signalsmith

        def signalsmith(audio: Audio, tempo: float) -> Audio:
            stretcher = Signalsmith(1)
            stretcher.preset(audio.shape[0], float(RATE_HZ))
            stretcher.setTimeFactor(tempo)
            return np.asarray(stretcher.process(np.ascontiguousarray(audio)))

        yield "signalsmith", signalsmith


def sines(*hz: float) -> Audio:
    at_s = np.arange(round(_LENGTH_S * RATE_HZ)) / RATE_HZ
    return (sum(np.sin(2 * np.pi * one * at_s + one) for one in hz) * 0.5 / len(hz)).astype(np.float32)[None]


def sine_to_rest_db(stretch: Stretch, tempo: float, *hz: float) -> float:
    heard = stretch(sines(*hz), tempo)[0]
    middle = heard[len(heard) // 6 : -len(heard) // 6][: 3 * RATE_HZ].astype(np.float64)
    at = 2 * np.pi * np.arange(len(middle)) / RATE_HZ
    basis = np.stack([turn(one * at) for one in hz for turn in (np.sin, np.cos)], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, middle, rcond=None)[0]
    return float(10 * np.log10((fitted**2).sum() / ((middle - fitted) ** 2).sum()))


def clicks(stretch: Stretch, tempo: float) -> tuple[float, NDArray[np.float64], float]:
    """Their common delay in seconds, how far each is from it in ms, and the height of the lowest."""
    audio = np.zeros((1, round(_LENGTH_S * RATE_HZ)), dtype=np.float32)
    audio[0, np.round(_CLICKS_S * RATE_HZ).astype(int)] = 0.9
    heard = np.abs(stretch(audio, tempo)[0])
    found, heights = [], []
    for at_s in _CLICKS_S / tempo:
        start = max(0, round((at_s - 0.3 / tempo) * RATE_HZ))
        near = heard[start : round((at_s + 0.3 / tempo) * RATE_HZ)]
        found.append((start + np.argmax(near)) / RATE_HZ)
        heights.append(near.max() / 0.9)
    late_s = np.array(found) - _CLICKS_S / tempo
    delay_s = 0.0 if stretch is ours else float(np.median(late_s))
    return delay_s, (late_s - delay_s) * 1000, min(heights)


def attack_db(stretch: Stretch, tempo: float, delay_s: float) -> float:
    rng = np.random.default_rng(3)
    audio = sines(*_CHORD_HZ)
    n = RATE_HZ // 5
    for at_s in _STROKES_S:
        start = round(at_s * RATE_HZ)
        audio[0, start : start + n] += 0.4 * rng.uniform(-1, 1, n) * np.exp(-np.arange(n) / (0.03 * RATE_HZ))
    high = np.diff(stretch(audio, tempo)[0], n=2) ** 2
    before, after = 0.0, 0.0
    for at_s in _STROKES_S / tempo + delay_s:
        at = round(at_s * RATE_HZ)
        before += high[at - 660 : at - 130].mean()
        after += high[at : at + 660].mean()
    return float(10 * np.log10(after / before))


def stereo(stretch: Stretch, tempo: float) -> float:
    noise = np.random.default_rng(1).normal(0, 0.1, round(_LENGTH_S * RATE_HZ)).astype(np.float32)
    heard = stretch(np.stack([noise, np.roll(noise, 8)]), tempo)
    left, right = (np.fft.rfft(channel[RATE_HZ // 4 : -RATE_HZ // 4]) for channel in heard)
    return float(np.fft.irfft(right * left.conj() / np.abs(right * left))[8])


def speed(stretch: Stretch, tempo: float) -> float:
    minute = np.tile(sines(*_CHORD_HZ), (2, 10))
    started = time.perf_counter()
    stretch(minute, tempo)
    return 60 / (time.perf_counter() - started)


def main() -> None:
    print("             tempo   sine  chord   clicks mean / most    high  drums  stereo   speed")
    for (name, stretch), tempo in itertools.product(systems(), TEMPI):
        delay_s, late_ms, height = clicks(stretch, tempo)
        sine_db, chord_db = (sine_to_rest_db(stretch, tempo, *hz) for hz in ((440.0,), _CHORD_HZ))
        late_ms = np.abs(late_ms)
        cells = (
            f"{name:12} {tempo:5}  {sine_db:5.0f}  {chord_db:5.0f}  {late_ms.mean():9.1f} / {late_ms.max():4.1f} ms",
            f"{height:6.2f}  {attack_db(stretch, tempo, delay_s):5.0f}  {stereo(stretch, tempo):6.2f}",
            f"{speed(stretch, tempo):5.0f}x",
        )
        print("  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
