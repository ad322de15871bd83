"""Lead vocals in, notes out: one voice's pitch is followed, then cut into notes as a transcriber would.

Pitch comes from swift-f0, notes from :mod:`pipeline.transcription.note_segmentation`, whose network was fitted with the
code of ``tests/quality/tune_vocals.py`` on a synthetic singer; no recorded singing went into it.  A stem that is
more than one voice goes to another transcriber instead.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.notes import Note
from pipeline.progress import OnProgress, part, unheard
from pipeline.transcription.basic_pitch import Activations, BasicPitchNetwork, frame_times_s
from pipeline.transcription.bends import bends
from pipeline.transcription.note_decoding import LOWEST_PITCH, N_PITCHES
from pipeline.transcription.note_segmentation import Segment, opinion, segments, tuning
from pipeline.transcription.pitch_track import PitchNetwork, PitchTrack
from pipeline.transcription.polyphony import several_voices
from pipeline.transcription.singing_features import FRAMES_PER_S, VOICED, Voice, listen

if TYPE_CHECKING:  # routing imports this module
    from pipeline.transcription.routing import Transcriber

SOUNDING = 0.4  # note activation from which Basic Pitch hears a note
# What one voice makes Basic Pitch hear besides its own pitch: neighbours, and the harmonics up to the sixth.
OWN_INTERVALS = (-24, -19, -12, -2, -1, 0, 1, 2, 12, 19, 24, 28, 31)
# Share of voiced frames with a foreign pitch from which a stem is more than one voice.  Of 14 synthetic singers, some
# with another behind them, 12 lie below 0.2 and all within 0.5; rendered choirs in chords lie at 0.51, 0.52 and 1.0.
OTHER_VOICES = 0.5
# Below this the other transcriber, which takes its time, is not even asked
FEW_OTHER_VOICES = 0.1

LOUD_VELOCITY = 0.8  # of a note as loud as the loud parts of the stem
BEND_REACH = 8.5  # semitones: a scoop or a fall may be as wide; Basic Pitch looks as far
DB_PER_DECADE = 40.0  # a synthesizer's gain is the square of the velocity

_PITCH_SHARE, _NETWORK_SHARE = 0.3, 0.9  # of the time, when pitch and when Basic Pitch are done
_SEVERAL_SHARE = 0.7  # of what is left, where it is asked
_LISTENING_SHARE, _OPINION_SHARE = 0.5, 0.8  # of the rest of that


class VocalsTranscriber:
    """Writes down a lead vocal stem.

    Args:
        pitch: follows the voice.
        network: Basic Pitch's, whose activations are heard as well; may be shared with other transcribers.
        several: hears any number of voices, and how sure it is of each note; writes down stems that are more than one.
    """

    def __init__(self, pitch: PitchNetwork, network: BasicPitchNetwork, several: "Transcriber") -> None:
        self._pitch = pitch
        self._network = network
        self._several = several

    def transcribe(self, samples: NDArray[np.float32], rate_hz: int, on_progress: OnProgress = unheard) -> list[Note]:
        """Notes by onset; of one voice they do not overlap.  The same samples give the same notes.

        Args:
            samples: float32 mono, shape (n_samples,), any length, full scale 1.0.
            rate_hz: sample rate in Hz.
            on_progress: told of every ten seconds whose pitch is followed, of every batch of windows
                and several times afterwards.
        """
        if len(samples) == 0:
            return []
        track = self._pitch.track(samples, rate_hz, part(on_progress, 0.0, _PITCH_SHARE))
        heard = self._network.activations(samples, rate_hz, part(on_progress, _PITCH_SHARE, _NETWORK_SHARE))
        others = other_voices(track, heard)
        rest = part(on_progress, _NETWORK_SHARE, 1.0)
        if others > FEW_OTHER_VOICES:
            chords = self._several.transcribe(samples, rate_hz, part(rest, 0.0, _SEVERAL_SHARE))
            if others > OTHER_VOICES or several_voices(chords):
                on_progress(1.0)
                return chords
            rest = part(rest, _SEVERAL_SHARE, 1.0)
        voice = listen(samples, rate_hz, track, heard, part(rest, 0.0, _LISTENING_SHARE))
        heard_notes = opinion(voice.features, on_progress=part(rest, _LISTENING_SHARE, _OPINION_SHARE))
        found = segments(voice, heard_notes, part(rest, _OPINION_SHARE, 1.0))
        offset = tuning(found)
        on_progress(1.0)
        return [_note(segment, voice, heard_notes.active, offset) for segment in found]


def other_voices(track: PitchTrack, heard: Activations) -> float:
    """Share of the voiced frames in which Basic Pitch hears a pitch that the tracked voice does not explain, 0-1."""
    voiced = np.flatnonzero(track.confidence >= VOICED)
    if len(voiced) == 0 or len(heard.notes) == 0:
        return 0.0
    times_s = frame_times_s(np.arange(len(heard.notes)))
    nearest = np.clip(np.searchsorted(times_s, track.times_s[voiced]), 0, len(times_s) - 1)
    sounding = heard.notes[nearest] >= SOUNDING
    own = np.rint(track.midi[voiced]).astype(np.int64)[:, None] + OWN_INTERVALS - LOWEST_PITCH
    rows = np.broadcast_to(np.arange(len(voiced))[:, None], own.shape)
    within = (own >= 0) & (own < N_PITCHES)
    sounding[rows[within], own[within]] = False
    return float(sounding.any(axis=1).mean())


def _note(segment: Segment, voice: Voice, active: NDArray[np.float32], offset: float) -> Note:
    frames = slice(segment.start, segment.end)
    believed = voice.confidence[frames] >= VOICED
    level_db = float(voice.level_db[frames][believed].max())
    confidence = float(active[frames].mean() * voice.confidence[frames][believed].mean())
    pitch = int(np.clip(round(segment.midi - offset), 0, 127))
    start_s, end_s = segment.start / FRAMES_PER_S, segment.end / FRAMES_PER_S
    followed = segment.start + np.flatnonzero(believed)
    return Note(
        pitch=pitch,
        start_s=start_s,
        end_s=end_s,
        velocity=float(np.clip(LOUD_VELOCITY * 10 ** (level_db / DB_PER_DECADE), 1 / 127, 1.0)),
        confidence=min(max(confidence, 0.0), 1.0),
        bends=bends(followed / FRAMES_PER_S, voice.midi[followed], start_s, end_s, pitch, BEND_REACH),
    )
