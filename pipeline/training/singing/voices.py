"""Syllables of synthetic voices, spoken by espeak-ng and taken apart by WORLD: what ``singer.py`` sings with.

Needs libespeak-ng (Debian package ``libespeak-ng1``) and ``pyworld`` (MIT; with setuptools below 81), in the
environment this is run from; neither is part of the product.
"""

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyworld
from numpy.typing import NDArray

RATE_HZ = 22_050
FRAME_S = 0.005
FFT_SIZE = 1024
VOICES = (
    *("en-us+m1", "en-us+m2", "en-us+m3", "en-us+m5", "en-us+m7", "it+m4", "de+m8", "es+m2", "en-us+klatt2"),
    *("en-us+f1", "en-us+f2", "en-us+f3", "en-us+f4", "en-us+f5", "it+f2", "de+f4", "es+f5", "en-gb+f3"),
)
VOWELS = ("A:", "i:", "u:", "E", "O:", "oU", "eI", "aI", "V", "I")
HARD, SOFT, SONOROUS = ("p", "t", "k", "tS", "f", "s", "S", "h"), ("b", "d", "g", "dZ", "v", "z"), tuple("mnlrwj")
STOPS = ("p", "t", "k", "tS", "b", "d", "g", "dZ")
CODAS = ("n", "m", "s", "t", "l", "k", "z")


@dataclass(frozen=True)
class Syllable:
    """One spoken syllable, a frame every 5 ms.

    ``spectrum``: float16, (n_frames, 513), natural logarithm of power; ``aperiodicity``: float16, the same shape, 0-1;
    ``voiced``: bool, (n_frames,).  The vowel is frames ``vowel_start`` to ``vowel_end``; before it lies the consonant
    ``consonant`` ("" for none), after it the coda.
    """

    consonant: str
    coda: str
    spectrum: NDArray[np.float16]
    aperiodicity: NDArray[np.float16]
    voiced: NDArray[np.bool_]
    vowel_start: int
    vowel_end: int


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("phoneme", ctypes.c_char * 8),
    )


_PHONEME_EVENT = 7
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """libespeak-ng; one per process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        rate_hz = self._library.espeak_Initialize(2, 0, None, 1)  # synchronous, with phoneme events
        if rate_hz != RATE_HZ:
            raise RuntimeError(f"espeak-ng speaks at {rate_hz} Hz")
        self._blocks: list[NDArray[np.int16]] = []
        self._phonemes: list[tuple[str, int]] = []
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples, n_samples, events) -> int:  # type: ignore[no-untyped-def]
        if n_samples > 0 and samples:
            self._blocks.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        index = 0
        while events[index].type:
            if events[index].type == _PHONEME_EVENT:
                self._phonemes.append((events[index].phoneme.decode(errors="replace"), events[index].sample))
            index += 1
        return 0

    def say(self, voice: str, phonemes: str) -> tuple[NDArray[np.float64], list[tuple[str, int]]]:
        """Speech at 22.05 kHz, monotonous, and its phonemes with the samples where they start."""
        self._blocks.clear()
        self._phonemes.clear()
        self._library.espeak_SetVoiceByName(voice.encode())
        self._library.espeak_SetParameter(1, 110, 0)  # words per minute
        self._library.espeak_SetParameter(4, 0, 0)  # no intonation
        text = f"[[{phonemes}]]".encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 0, 0, 0x101, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._blocks).astype(np.float64) / 32_768, list(self._phonemes)


@cache
def _speaker() -> Speaker:
    return Speaker()


def _analysed(samples: NDArray[np.float64], consonant: str, coda: str, coda_start: int) -> Syllable | None:
    f0, times = pyworld.dio(samples, RATE_HZ, f0_floor=60.0, frame_period=1000 * FRAME_S)
    f0 = pyworld.stonemask(samples, f0, times, RATE_HZ)
    spectrum = np.log(pyworld.cheaptrick(samples, f0, times, RATE_HZ, fft_size=FFT_SIZE) + 1e-12)
    aperiodicity = pyworld.d4c(samples, f0, times, RATE_HZ, fft_size=FFT_SIZE)
    voiced = f0 > 0
    low, high = round(200 / RATE_HZ * FFT_SIZE), round(4000 / RATE_HZ * FFT_SIZE)
    level = np.log(np.exp(spectrum[:, low:high]).mean(axis=1))
    loud = np.flatnonzero(voiced & (level > level.max() - 1.4))  # within 6 dB of the vowel's loudest
    if len(loud) < 20:
        return None
    start = int(loud[0]) if consonant else 2
    end = min(int(loud[-1]), round(coda_start / RATE_HZ / FRAME_S)) if coda else int(loud[-1])
    if end - start < 20:
        return None
    heard = np.flatnonzero(level > level.max() - 9.0)  # 40 dB
    first, last = int(heard[0]), int(heard[-1]) + 1
    return Syllable(
        consonant,
        coda,
        spectrum[first:last].astype(np.float16),
        aperiodicity[first:last].astype(np.float16),
        voiced[first:last],
        max(start - first, 0),
        end - first,
    )


@cache
def bank(voice: str, n_syllables: int, seed: int) -> tuple[Syllable, ...]:
    """Syllables of one voice: consonant, vowel and in a third of them a coda."""
    rng = np.random.default_rng((seed, VOICES.index(voice)))
    found: list[Syllable] = []
    while len(found) < n_syllables:
        kind = rng.choice(4, p=(0.3, 0.22, 0.36, 0.12))
        consonant = str(rng.choice((HARD, SOFT, SONOROUS, ("",))[kind]))
        coda = str(rng.choice(CODAS)) if rng.random() < 0.33 else ""
        samples, phonemes = _speaker().say(voice, f"{consonant}'{rng.choice(VOWELS)}{coda}")
        starts = [sample for phoneme, sample in phonemes if coda and phoneme == coda]
        syllable = _analysed(samples, consonant, coda, starts[-1] if starts else len(samples))
        if syllable is not None:
            found.append(syllable)
    return tuple(found)
