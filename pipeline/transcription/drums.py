"""Drum stem in, hits out.

A convolutional network (:mod:`pipeline.transcription.drum_network`) looks at the levels of 80 bands, 100 times a
second, and says when strokes of five families begin, of which class and how loud they are.  It was trained by
``pipeline.training.drums`` on performances rendered from freely licensed drum samples; no recorded music went into it.
"""

import numpy as np

from pipeline.notes import Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.drum_classes import KEYS
from pipeline.transcription.drum_decoding import Stroke, strokes
from pipeline.transcription.drum_features import (
    FINE,
    FloatArray,
    band_powers,
    loudness_db,
    relative_levels,
    resample,
)
from pipeline.transcription.drum_network import DrumNetwork, hear

# Quieter than this (dB full scale, loud parts) there is no drum stem, only what a separator left of other instruments.
SILENCE_DB = -60.0
# F on the rendered performances of kits kept out of training is highest here, and on them it was chosen: .828 composed
# and .817 human; .826 and .813 at 0.5, .822 and .810 at 0.7.  Training weighs a missed stroke twice, so that one half
# is not the middle.
THRESHOLD = 0.6
NOMINAL_LENGTH_S = 0.1  # drums have no key release; MIDI wants an end
_FEATURES_SHARE = 0.4  # of the time; the network takes nearly all of the rest


def _ended(found: list[Stroke]) -> list[Note]:
    """Notes sorted by onset, then key; each ends after 0.1 s or when its key is struck again."""
    notes = []
    next_start: dict[int, float] = {}
    for start_s, key, velocity in sorted(((s.time_s, KEYS[s.name], s.velocity) for s in found), reverse=True):
        end_s = min(start_s + NOMINAL_LENGTH_S, next_start.get(key, np.inf))
        notes.append(Note(pitch=key, start_s=start_s, end_s=end_s, velocity=velocity))
        next_start[key] = start_s
    return notes[::-1]


class DrumTranscriber:
    """Writes down a drum stem as General MIDI percussion.

    Keys used: 36 kick, 38 snare, 37 side stick, 41 45 48 toms, 42 closed, 44 pedal and 46 open hi-hat, 49 crash, 51
    ride.

    Args:
        network: ready to hear, on its device; may be shared.
    """

    def __init__(self, network: DrumNetwork) -> None:
        self._network = network

    def transcribe(self, samples: FloatArray, rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """Hits of one drum stem; the same samples give the same notes.

        Args:
            samples: float32, mono, shape (n_samples,), full scale 1.
            rate_hz: any rate; other rates than 44.1 kHz are converted.
            on_progress: told of every half minute that is measured and then heard.

        Returns:
            Notes sorted by onset, then key; none when the stem is as good as silent.

        Raises:
            OutOfMemory: the network's device has too little memory for a few seconds.
        """
        if len(samples) == 0:
            return []
        centred = np.asarray(samples - samples.mean(dtype=np.float64), dtype=np.float32)
        on_progress(0.0)
        powers = band_powers(resample(centred, rate_hz), FINE, part(on_progress, 0.0, _FEATURES_SHARE))
        if loudness_db(powers) < SILENCE_DB:
            return []
        said = hear(self._network, *relative_levels(powers), part(on_progress, _FEATURES_SHARE, 1.0))
        found = strokes(*said, THRESHOLD)
        on_progress(1.0)
        return _ended(found)
