"""Parts of a composition to audio and truth, by fluidsynth and a General MIDI soundfont.

Truth is what is heard: a sampled flute starts to sound later than its key goes down, so each key of each instrument is
played alone once, its delay measured, and added to the note's times.  ``end`` is the key release.

Needs the ``fluidsynth`` command and the FluidR3 GM soundfont (MIT licence; Debian packages ``fluidsynth`` and
``fluid-soundfont-gm``).  The same soundfont and fluidsynth give the same samples and the same notes; only the serial
numbers of Ogg streams differ.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile

RATE_HZ = 44_100
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
LICENCE = "MIT, as the repository; rendered with FluidR3 GM samples by Frank Wen (MIT)"
PEAK_DBFS = -1.0
PROBE_GAP_S = 3.0  # lets each probed key ring out before the next one is measured
ONSET_FRACTION = 0.1  # heard from -20 dB below the peak of the attack
RENDERING_BPM = 100.0  # of the MIDI files that fluidsynth plays: notes are placed in seconds, so it is only a time base

KICK, SNARE, LOW_TOM, CLOSED_HAT, MID_TOM, OPEN_HAT, HIGH_TOM, CRASH, RIDE = 36, 38, 41, 42, 45, 46, 48, 49, 51


@dataclass(frozen=True)
class Event:
    """One note of the composition; times in beats from the start of the song, velocity as MIDI 1-127."""

    beat: float
    beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """One instrument: what it plays, how tightly, and where it sits in the mix."""

    name: str
    program: int
    is_drum: bool
    stem: str
    gain: float
    pan: float  # -1 left .. 1 right
    timing_s: float  # standard deviation of the player's timing
    events: tuple[Event, ...]
    vibrato: int = 0  # modulation wheel, 0-127


@dataclass(frozen=True)
class PlayedNote:
    """One note as played: key down and key up in seconds, velocity as MIDI 1-127."""

    pitch: int
    start_s: float
    end_s: float
    velocity: int


def humanise(part: Part, at_s: Callable[[float], float], rng: np.random.Generator) -> list[PlayedNote]:
    """Seconds instead of beats, by ``at_s``, with the player's small deviations; keys of one pitch never overlap."""
    notes = []
    for event in sorted(part.events, key=lambda e: (e.beat, e.pitch)):
        start_s = max(0.02, at_s(event.beat) + rng.normal(0.0, part.timing_s))
        length_s = at_s(event.beat + event.beats) - at_s(event.beat)
        velocity = int(np.clip(event.velocity + round(rng.normal(0.0, 4.0)), 20, 127))
        notes.append(PlayedNote(event.pitch, start_s, start_s + length_s, velocity))
    for index, note in enumerate(notes):
        later = [n.start_s for n in notes[index + 1 :] if n.pitch == note.pitch]
        if later and note.end_s > later[0] - 0.01:
            notes[index] = replace(note, end_s=later[0] - 0.01)
    return notes


def render(part: Part, notes: list[PlayedNote], duration_s: float, soundfont: Path) -> np.ndarray:
    """Plays the notes with fluidsynth; float64, shape (n_samples, 2), 44.1 kHz."""
    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=RENDERING_BPM)
    instrument = pretty_midi.Instrument(program=part.program, is_drum=part.is_drum)
    instrument.notes = [pretty_midi.Note(n.velocity, n.pitch, n.start_s, n.end_s) for n in notes]
    # A last event keeps fluidsynth rendering until the tail has rung out.
    instrument.control_changes = [pretty_midi.ControlChange(11, 127, duration_s)]
    if part.vibrato:
        instrument.control_changes.insert(0, pretty_midi.ControlChange(1, part.vibrato, 0.0))
    midi.instruments.append(instrument)
    with tempfile.TemporaryDirectory() as folder:
        midi_path, wav_path = Path(folder) / "part.mid", Path(folder) / "part.wav"
        midi.write(str(midi_path))
        command = ["fluidsynth", "-ni", "-q", "-r", str(RATE_HZ), "-g", "0.6", "-T", "wav", "-O", "float"]
        subprocess.run([*command, "-F", str(wav_path), str(soundfont), str(midi_path)], check=True, capture_output=True)
        audio, rate_hz = soundfile.read(wav_path, dtype="float64", always_2d=True)
    if rate_hz != RATE_HZ:
        raise RuntimeError(f"fluidsynth rendered at {rate_hz} Hz instead of {RATE_HZ} Hz")
    length = round(duration_s * RATE_HZ)
    return np.pad(audio[:length], ((0, max(0, length - len(audio))), (0, 0)))


def onset_delays_s(part: Part, soundfont: Path) -> dict[int, float]:
    """How long after key-down each pitch of the part is heard, in seconds."""
    pitches = sorted({event.pitch for event in part.events})
    probes = [PlayedNote(p, PROBE_GAP_S * i + 0.1, PROBE_GAP_S * i + 1.1, 90) for i, p in enumerate(pitches)]
    audio = render(part, probes, PROBE_GAP_S * len(probes) + 1.0, soundfont)
    window = np.ones(round(0.002 * RATE_HZ))
    power = np.convolve((audio**2).sum(axis=1), window / len(window), mode="same")
    delays = {}
    for note in probes:
        first = round(note.start_s * RATE_HZ)
        attack = np.sqrt(power[first : first + round(0.2 * RATE_HZ)])
        delays[note.pitch] = float(np.argmax(attack >= ONSET_FRACTION * attack.max())) / RATE_HZ
    return delays


def pan(audio: np.ndarray, position: float) -> np.ndarray:
    """Balance control: turns the far channel down, leaves the near one."""
    return audio * np.array([min(1.0, 1.0 - position), min(1.0, 1.0 + position)])


def write_ogg(path: Path, mix: np.ndarray, compression_level: float) -> None:
    """Writes Vorbis in blocks of a second: libsndfile's encoder can overflow its stack on one long write.

    Args:
        path: the file.
        mix: shape (n_samples, 2), 44.1 kHz.
        compression_level: as libsndfile counts it, 0 = best: 0.4 is about Vorbis q6.
    """
    with soundfile.SoundFile(
        path, "w", RATE_HZ, 2, format="OGG", subtype="VORBIS", compression_level=compression_level
    ) as file:
        for first in range(0, len(mix), RATE_HZ):
            file.write(mix[first : first + RATE_HZ])


@dataclass(frozen=True)
class Performance:
    """One part as played and rendered.

    Attributes:
        part: what was played.
        audio: float64, shape (n_samples, 2), 44.1 kHz; gain and pan applied.
        notes: what is heard; ``velocity`` as MIDI 1-127, times rounded to 0.1 ms; by onset, then pitch.
    """

    part: Part
    audio: np.ndarray
    notes: list[PlayedNote]


def perform(
    part: Part, at_s: Callable[[float], float], duration_s: float, soundfont: Path, rng: np.random.Generator
) -> Performance:
    """Plays a part as a person would, renders it and measures when its notes are heard."""
    played = humanise(part, at_s, rng)
    delays = onset_delays_s(part, soundfont)
    audio = part.gain * pan(render(part, played, duration_s, soundfont), part.pan)
    heard = [
        replace(n, start_s=round(n.start_s + delays[n.pitch], 4), end_s=round(n.end_s + delays[n.pitch], 4))
        for n in played
    ]
    print(f"{part.name}: {len(heard)} notes, heard {1000 * np.median(list(delays.values())):.1f} ms after the key")
    return Performance(part, audio, sorted(heard, key=lambda n: (n.start_s, n.pitch)))


def faded(audio: np.ndarray) -> np.ndarray:
    """The audio with its last second faded out."""
    fade = np.ones(len(audio))
    fade[-RATE_HZ:] = np.linspace(1.0, 0.0, RATE_HZ)
    return audio * fade[:, None]


def peak_gain(mix: np.ndarray) -> float:
    """What brings a mix's peak to :data:`PEAK_DBFS`."""
    return float(10 ** (PEAK_DBFS / 20) / np.abs(mix).max())


def rendering_arguments(description: str | None, out: Path) -> argparse.Namespace:
    """The command line of a script that renders: ``soundfont`` and ``out``; refused where either tool is missing."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    parser.add_argument("--out", type=Path, default=out)
    arguments = parser.parse_args()
    if shutil.which("fluidsynth") is None or not arguments.soundfont.is_file():
        parser.error("needs the fluidsynth command and the FluidR3 GM soundfont (see --help)")
    return arguments
