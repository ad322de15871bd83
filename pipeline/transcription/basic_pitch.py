"""Basic Pitch's network on onnxruntime: audio to activations to notes, any pitched instrument.

The network is ``nmp.onnx`` of basic-pitch 0.4.0 (Apache-2.0; Bittner et al., ICASSP 2022).  It sees windows of two
seconds; neighbours overlap by 30 frames, of which each window gives up half, as in ``basic_pitch.inference``.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.notes import BENDS_PER_S, BENDS_PER_SEMITONE, Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.note_decoding import LOWEST_PITCH, N_PITCHES, decode_notes
from pipeline.transcription.sessions import load_session, run_pieces

RATE_HZ = 22_050
FRAME_SAMPLES = 256
WINDOW_SAMPLES = 2 * RATE_HZ - FRAME_SAMPLES
WINDOW_FRAMES = 172
OVERLAP_FRAMES = 30
KEPT_FRAMES = WINDOW_FRAMES - OVERLAP_FRAMES
HOP_SAMPLES = WINDOW_SAMPLES - OVERLAP_FRAMES * FRAME_SAMPLES
LEAD_SAMPLES = OVERLAP_FRAMES // 2 * FRAME_SAMPLES  # silence before the audio: what the first window gives up

# Several batches at a time, each on one thread: 108 x real time on two cores, against 105 x for onnxruntime's own
# two threads on one batch and 54 x for one thread; and what a batch gives cannot depend on the number of threads.
BATCH_WINDOWS = 4

_NETWORK_SHARE = 0.98  # of the time; decoding the notes of a song of three minutes takes 0.02 s of 2.4 s

_INPUT = "serving_default_input_2:0"
_OUTPUTS = ("StatefulPartitionedCall:1", "StatefulPartitionedCall:2", "StatefulPartitionedCall:0")
# Of ``basic_pitch.note_creation.get_pitch_bends``: how far a pitch may be bent, and how much nearer ones are preferred.
BEND_REACH, BEND_WIDTH = 25, 5.0  # thirds of a semitone
# Three bins of the contour belong to a pitch, and the second is the pitch itself: tones of MIDI 36 to 86 that are in
# tune are strongest there in every frame.  That function counts from the first, so it is a third of a semitone high.
OWN_BIN = 1


@dataclass(frozen=True, slots=True)
class Activations:
    """What the network heard; frame ``i`` lies at ``frame_times_s(i)``, column ``j`` is MIDI pitch ``21 + j``.

    Attributes:
        notes: float32, shape (n_frames, 88): how surely a pitch sounds, 0-1.
        onsets: float32, shape (n_frames, 88): how surely a pitch starts, 0-1.
        bends: int8, shape (n_frames, 88): by how many thirds of a semitone a pitch is bent if it sounds; None where
            that was not kept.
    """

    notes: NDArray[np.float32]
    onsets: NDArray[np.float32]
    bends: NDArray[np.int8] | None = None

    def note_bends(self, note: Note) -> tuple[int, ...]:
        """Those of a note, as :attr:`pipeline.notes.Note.bends` has them."""
        if self.bends is None:
            return ()
        moments_s = np.linspace(note.start_s, note.end_s, max(round((note.end_s - note.start_s) * BENDS_PER_S), 1))
        frames = np.clip(_frames_at(moments_s), 0, len(self.bends) - 1)
        return tuple(self.bends[frames, note.pitch - LOWEST_PITCH].tolist())


class BasicPitchNetwork:
    """The loaded network; one instance serves any number of songs, from any thread.

    Args:
        path: the file ``nmp.onnx``.

    Raises:
        ModelError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._session = load_session(path)

    def activations(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress = unheard) -> Activations:
        """Run the network over a whole recording.

        Args:
            samples: float32 mono, shape (n_samples,), any length.
            rate_hz: its rate; resampled to 22 050 Hz (soxr HQ).
            on_progress: told of every batch of windows.

        Returns:
            Activations of every frame that starts inside the audio.  (The reference counts 86 frames per second
            where there are 86.6, and so loses the last 0.7 % of a song: 1.2 s of three minutes.)
        """
        heard = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ")
        n_windows = -(-len(heard) // HOP_SAMPLES)
        padded = np.zeros(n_windows * HOP_SAMPLES + WINDOW_SAMPLES, dtype=np.float32)
        padded[LEAD_SAMPLES : LEAD_SAMPLES + len(heard)] = heard
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
        out = np.empty((2, n_windows, KEPT_FRAMES, N_PITCHES), dtype=np.float32)
        bends = np.empty(out.shape[1:], dtype=np.int8)

        def run(start: int) -> None:
            stop = min(start + BATCH_WINDOWS, n_windows)
            batch = np.ascontiguousarray(windows[start:stop, :, np.newaxis])
            *both, contours = (
                result[:, OVERLAP_FRAMES // 2 : -(OVERLAP_FRAMES // 2)]
                for result in self._session.run(_OUTPUTS, {_INPUT: batch})
            )
            out[:, start:stop] = both
            bends[start:stop] = _bends(contours)

        run_pieces(run, range(0, n_windows, BATCH_WINDOWS), on_progress)
        n_frames = _frame_count(len(heard))
        notes, onsets = out.reshape(2, -1, N_PITCHES)[:, :n_frames]
        return Activations(notes, onsets, bends.reshape(-1, N_PITCHES)[:n_frames])


class BasicPitchTranscriber:
    """Notes of one pitched stem, by the network and the decoding of Basic Pitch.

    Args:
        network: may be shared with other transcribers.
    """

    def __init__(self, network: BasicPitchNetwork) -> None:
        self._network = network

    def transcribe(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """Notes by onset, then pitch; velocity is the mean note activation.

        Args:
            samples: float32 mono, shape (n_samples,), any length.
            rate_hz: sample rate in Hz.
            on_progress: told of every batch of windows.
        """
        heard = self._network.activations(samples, rate_hz, part(on_progress, 0.0, _NETWORK_SHARE))
        found = decode_notes(heard.notes, heard.onsets)
        on_progress(1.0)
        start_s = frame_times_s(np.array([note.start for note in found], dtype=np.int64)).tolist()
        end_s = frame_times_s(np.array([note.end for note in found], dtype=np.int64)).tolist()
        notes = [
            Note(note.pitch, start, end, note.amplitude) for note, start, end in zip(found, start_s, end_s, strict=True)
        ]
        return [replace(note, bends=heard.note_bends(note)) for note in notes]


def frame_times_s(frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """When frames start, in seconds from the start of the audio.

    A window keeps 142 frames of 256 samples but moves on by 36 164 samples, 188 less: time is counted anew in each
    window.  ``model_frames_to_time`` of basic-pitch spreads the same correction over steps of 172 frames and so is
    up to 11 ms off; against 966 known onsets of a generated song, the spread of onset errors (standard deviation)
    is 6.3 ms here and 7.1 ms there.

    Args:
        frames: int64, any shape.

    Returns:
        float64, same shape, strictly increasing with the frame.
    """
    window, frame = np.divmod(frames, KEPT_FRAMES)
    times: NDArray[np.float64] = (window * HOP_SAMPLES + frame * FRAME_SAMPLES) / RATE_HZ
    return times


def _frames_at(times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frames in which moments lie, as :func:`frame_times_s` counts; any shape."""
    samples = times_s * RATE_HZ
    windows = np.floor(samples / HOP_SAMPLES).astype(np.int64)
    frames = np.minimum((samples - windows * HOP_SAMPLES) // FRAME_SAMPLES, KEPT_FRAMES - 1)
    return windows * KEPT_FRAMES + frames.astype(np.int64)


def _bends(contours: NDArray[np.float32]) -> NDArray[np.int8]:
    """Where near each pitch a contour, three bins to the semitone, is strongest: (..., 88) from (..., 264)."""
    span = np.arange(-BEND_REACH, BEND_REACH + 1)
    nearness = np.exp(-0.5 * (span / BEND_WIDTH) ** 2).astype(np.float32)
    padded = np.pad(contours, [(0, 0)] * (contours.ndim - 1) + [(BEND_REACH, BEND_REACH)], constant_values=-1.0)
    around = np.lib.stride_tricks.sliding_window_view(padded, len(span), axis=-1)[..., OWN_BIN::BENDS_PER_SEMITONE, :]
    return np.asarray(np.argmax(around * nearness, axis=-1) - BEND_REACH, dtype=np.int8)


def _frame_count(n_samples: int) -> int:
    """Frames that start before the end of ``n_samples`` samples at 22 050 Hz."""
    windows, rest = divmod(n_samples, HOP_SAMPLES)
    return windows * KEPT_FRAMES + -(-rest // FRAME_SAMPLES)
