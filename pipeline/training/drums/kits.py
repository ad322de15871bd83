"""Drum kits made of samples: those of soundfonts and of Hydrogen.

Needs the ``fluidsynth`` command, the FluidR3 GM and MuseScore General soundfonts (both MIT) and Hydrogen's drum kits;
in Debian: fluidsynth, fluid-soundfont-gm, musescore-general-soundfont-lossless, hydrogen-drumkits, hydrogen-data.
Only statistics of these samples (network weights) end up in the product, never the samples.
"""

import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pretty_midi
import scipy.signal
import soundfile

FloatArray = npt.NDArray[np.float32]
Item = TypeVar("Item")

RATE_HZ = 44_100
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2"),
)
SOUNDFONT_KITS = (0, 8, 16, 24, 25, 32, 40)  # bank 128: standard, room, power, electronic, 808, jazz, brush
HYDROGEN_FOLDERS = (Path("/usr/share/hydrogen/data/drumkits"),)
# Sampled from the very drums that a bench plays with: never to be trained on.
FORBIDDEN = ("The Black Pearl 1.0",)
# "other" is percussion that the transcriber has no name for and must leave alone.
LENGTH_S = {
    "kick": 1.2,
    "snare": 1.2,
    "stick": 0.6,
    "closed": 0.8,
    "pedal": 0.8,
    "open": 1.8,
    "tom": 1.6,
    "crash": 3.0,
    "ride": 2.5,
    "other": 1.0,
}
KEYS = {
    "kick": (35, 36),
    "snare": (38, 39, 40),
    "stick": (37,),
    "closed": (42,),
    "pedal": (44,),
    "open": (46,),
    "tom": (41, 43, 45, 47, 48, 50),
    "crash": (49, 57, 52, 55),
    "ride": (51, 53, 59),
    "other": (54, 56, 60, 61, 62, 63, 64, 67, 69, 70, 75, 76, 80),
}
VELOCITIES = (25, 50, 75, 100, 125)
GAP_S = 3.2
HYDROGEN_NAMES = (
    (
        "other",
        r"tambourine|agogo|cowbell|cajon|maraca|conga|bongo|clave|woodblock|djembe|sangban|dununba|kenkeni|finger",
    ),
    ("", r"roll|choke|semi|hat free|zap|fx|dry|side o?hh|swish"),
    ("ride", r"ride"),
    ("crash", r"crash|china|splash|cymbal"),
    ("kick", r"kick|bass ?drum"),
    ("stick", r"stick|rim click|^click"),
    ("snare", r"snare|clap"),
    ("pedal", r"pedal|hat.*pd$"),
    ("closed", r"clos|hat.*cl$|hat low"),
    ("open", r"open|hat.* op"),
    ("tom", r"tom"),
)
NEEDED = {"kick", "snare", "closed"}


@dataclass(frozen=True)
class Voice:
    """One drum struck one way.

    Attributes:
        layers: velocity 0-1 and a mono sample at 44.1 kHz, peak 1, that starts at its audible onset; soft to loud.
        pitch_hz: what a tom is tuned to; 0 for others.
    """

    layers: tuple[tuple[float, FloatArray], ...]
    pitch_hz: float = 0.0


Kit = dict[str, list[Voice]]


def one_of(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of several things, each as likely."""
    return items[int(rng.integers(len(items)))]


def trimmed(sample: npt.NDArray[np.floating], kind: str) -> FloatArray | None:
    """The sample from its audible onset (-26 dB below its attack), peak 1, at most LENGTH_S; None when silent."""
    attack = np.abs(sample[: RATE_HZ // 2])
    if len(attack) == 0 or attack.max() < 1e-4:
        return None
    first = int(np.argmax(attack >= 0.05 * attack.max()))
    kept = sample[first : first + round(LENGTH_S[kind] * RATE_HZ)].astype(np.float32)
    fade = min(len(kept), 2000)
    kept[len(kept) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.asarray(kept / np.abs(kept).max(), dtype=np.float32)


def pitch_hz(sample: FloatArray) -> float:
    """The strongest partial of a drum between 50 and 400 Hz, 20 ms after the stroke and on."""
    ringing = sample[RATE_HZ // 50 : RATE_HZ // 2]
    spectrum = np.abs(np.fft.rfft(ringing * np.hanning(len(ringing)), 1 << 16))
    hz = np.arange(len(spectrum)) * RATE_HZ / (1 << 16)
    heard = np.where((hz > 50) & (hz < 400), spectrum, 0.0)
    return float(hz[int(np.argmax(heard))])


def voice_of(kind: str, layers: Sequence[tuple[float, FloatArray]]) -> Voice:
    """A voice whose layers are sorted, and a tom's pitch measured."""
    ordered = tuple(sorted(layers, key=lambda layer: layer[0]))
    return Voice(ordered, pitch_hz(ordered[-1][1]) if kind == "tom" else 0.0)


def rendered(midi: pretty_midi.PrettyMIDI, soundfont: Path) -> FloatArray:
    """Plays MIDI with fluidsynth, dry; float32, mono, 44.1 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        midi_path, wav_path = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        midi.write(str(midi_path))
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-r", str(RATE_HZ), "-g", "0.5", "-T", "wav"]
        subprocess.run([*command, "-F", str(wav_path), str(soundfont), str(midi_path)], check=True, capture_output=True)
        stereo = soundfile.read(wav_path, dtype="float32", always_2d=True)[0]
        return np.asarray(stereo.mean(axis=1), dtype=np.float32)


def soundfont_kit(soundfont: Path, program: int) -> Kit:
    """Renders every key of a soundfont's kit alone at several velocities."""
    midi = pretty_midi.PrettyMIDI(resolution=960)
    drums = pretty_midi.Instrument(program=program, is_drum=True)
    wanted = [(kind, key, v) for kind, keys in KEYS.items() for key in keys for v in VELOCITIES]
    for i, (_, key, velocity) in enumerate(wanted):
        drums.notes.append(pretty_midi.Note(velocity, key, 0.1 + i * GAP_S, 3.0 + i * GAP_S))
    drums.control_changes += [pretty_midi.ControlChange(number, 0, 0.0) for number in (91, 93)]  # dry
    midi.instruments.append(drums)
    audio = rendered(midi, soundfont)
    voices: dict[tuple[str, int], list[tuple[float, FloatArray]]] = {}
    for i, (kind, key, velocity) in enumerate(wanted):
        at = round((0.09 + i * GAP_S) * RATE_HZ)
        sample = trimmed(audio[at : at + round((GAP_S - 0.1) * RATE_HZ)], kind)
        if sample is not None:
            voices.setdefault((kind, key), []).append((velocity / 127, sample))
    kit: Kit = {}
    for (kind, _), layers in voices.items():
        kit.setdefault(kind, []).append(voice_of(kind, layers))
    return kit


def kind_of(name: str) -> str:
    """Kind of drum that a name stands for; empty when it is none of ours."""
    for kind, pattern in HYDROGEN_NAMES:
        if re.search(pattern, name.lower()):
            return kind
    return ""


def read_mono(path: Path) -> FloatArray:
    """A file's channels averaged, at 44.1 kHz."""
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = audio.mean(axis=1)
    if rate_hz != RATE_HZ:
        mono = scipy.signal.resample_poly(mono, RATE_HZ, rate_hz)
    return np.asarray(mono, dtype=np.float32)


def hydrogen_kit(folder: Path) -> Kit:
    """Reads a Hydrogen drum kit, old and new layout."""
    tree = ElementTree.parse(folder / "drumkit.xml")  # noqa: S314 - a file of the distribution, not of a user
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    kit: Kit = {}
    for instrument in tree.iter("instrument"):
        kind = kind_of(instrument.findtext("name") or "")
        if not kind:
            continue
        layers = [(e.findtext("filename"), float(e.findtext("max") or 1)) for e in instrument.iter("layer")]
        layers = layers or [(instrument.findtext("filename"), 1.0)]
        heard: list[tuple[float, FloatArray]] = []
        for filename, loudest in layers:
            path = folder / (filename or "")
            sample = trimmed(read_mono(path), kind) if path.is_file() else None
            if sample is not None:
                heard.append((loudest, sample))
        if heard:
            kit.setdefault(kind, []).append(voice_of(kind, heard))
    return kit


def distribution_kits(hydrogen_folders: Sequence[Path] = HYDROGEN_FOLDERS) -> dict[str, Kit]:
    """The kits of the Debian packages by name; those without drums of ours hold only ``other``."""
    kits = {
        f"{soundfont.stem}:{program}": soundfont_kit(soundfont, program)
        for soundfont in SOUNDFONTS
        for program in SOUNDFONT_KITS
    }
    for folder in (folder for parent in hydrogen_folders for folder in sorted(parent.iterdir())):
        if folder.name not in FORBIDDEN:
            kits[folder.name] = hydrogen_kit(folder)
    return {name: kit for name, kit in kits.items() if kit}
