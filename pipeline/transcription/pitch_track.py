"""Pitch of a single voice over time, by the network swift-f0 on onnxruntime.

The network is ``model.onnx`` of swift-f0 0.3.0 (MIT; Nieradzik, "SwiftF0: Fast and Accurate Monophonic Pitch
Detection", 2025).  It hears 46.9-2093.75 Hz at 16 kHz and gives a pitch and a confidence every 16 ms.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.progress import OnProgress, unheard
from pipeline.transcription.sessions import load_session, run_pieces

RATE_HZ = 16_000
HOP_SAMPLES = 256
FLOOR_HZ = 46.875
CEILING_HZ = 2093.75
# A frame is decided by 2815 samples to each side of its centre: with so many frames around a chunk, its own come out
# as if the whole recording had been one chunk (``swift_f0.core``).
FRAMES_BEFORE = 11
FRAMES_AFTER = 10
# Ten seconds: bounds memory.  Half a minute gives the same to the bit in 1.2 to 1.7 times the time: what lies between
# the layers does not fit the cache then.
CHUNK_FRAMES = 625
# In digital silence the network invents voiced frames; what peaks below this has confidence 0 (``swift_f0.core``).
SILENCE_PEAK = 1e-3


@dataclass(frozen=True, slots=True)
class PitchTrack:
    """One voice's pitch; all arrays have shape (n_frames,).

    Attributes:
        times_s: float64, centres of the frames in seconds from the start of the audio, evenly spaced.
        midi: float32, pitch as a fractional MIDI note number (69.0 = 440 Hz); meaningless without confidence.
        confidence: float32, 0-1, how surely the frame is voiced; calibrated so that 0.5 divides voiced from not.
    """

    times_s: NDArray[np.float64]
    midi: NDArray[np.float32]
    confidence: NDArray[np.float32]


class PitchNetwork:
    """The loaded network; one instance serves any number of songs, from any thread.

    Args:
        path: the file ``model.onnx`` of swift-f0.

    Raises:
        ModelError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._session = load_session(path)

    def track(
        self,
        samples: NDArray[np.float32],
        rate_hz: int,
        on_progress: OnProgress = unheard,
        *,
        octaves_up: int = 0,
    ) -> PitchTrack:
        """Follow the pitch through a whole recording.

        Args:
            samples: float32 mono, shape (n_samples,), any length, full scale 1.0.
            rate_hz: its rate; resampled to 16 kHz (soxr HQ).
            on_progress: told of every ten seconds.
            octaves_up: play the audio that many octaves higher, at as many times its speed, to hear below 46.9 Hz.
                The pitches returned are those of the audio, down to 23.4 Hz for one octave; frames are then twice as
                long and twice as far apart.

        Returns:
            A frame every 16 ms (32 ms an octave up), the first centred on the first sample; none of empty audio.
            The same on any number of threads.
        """
        speed = 1 << octaves_up
        heard = soxr.resample(samples, rate_hz * speed, RATE_HZ, quality="HQ")
        n_frames = -(-len(heard) // HOP_SAMPLES)
        padded = np.zeros(n_frames * HOP_SAMPLES, dtype=np.float32)
        padded[: len(heard)] = heard
        hz = np.empty(n_frames, dtype=np.float32)
        confidence = np.empty(n_frames, dtype=np.float32)

        def run(start: int) -> None:
            stop = min(start + CHUNK_FRAMES, n_frames)
            first = max(start - FRAMES_BEFORE, 0)
            window = padded[first * HOP_SAMPLES : (stop + FRAMES_AFTER) * HOP_SAMPLES]
            limits = {"fmin": np.array(FLOOR_HZ, np.float32), "fmax": np.array(CEILING_HZ, np.float32)}
            pitches, voicing = self._session.run(("pitch", "confidence"), {"audio": window[np.newaxis], **limits})
            hz[start:stop] = pitches[0, start - first : stop - first]
            confidence[start:stop] = voicing[0, start - first : stop - first]

        run_pieces(run, range(0, n_frames, CHUNK_FRAMES), on_progress)
        confidence[np.abs(padded.reshape(n_frames, HOP_SAMPLES)).max(axis=1, initial=0.0) < SILENCE_PEAK] = 0.0
        midi = 69.0 + 12.0 * np.log2(hz / np.float32(440.0 * speed))
        times_s = np.arange(n_frames, dtype=np.float64) * (HOP_SAMPLES * speed / RATE_HZ)
        return PitchTrack(times_s, midi.astype(np.float32), confidence)
