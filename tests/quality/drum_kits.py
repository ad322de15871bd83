"""Drum samples for fitting the drum transcriber: soundfont kits, Hydrogen kits and kits made of sines and noise.

Needs the ``fluidsynth`` command, the FluidR3 GM and MuseScore General soundfonts (both MIT) and Hydrogen's drum kits;
in Debian: fluidsynth, fluid-soundfont-gm, musescore-general-soundfont-lossless, hydrogen-drumkits.
Only statistics of these samples (network weights) end up in the product, never the samples.
"""

import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pretty_midi
import scipy.signal
import soundfile

RATE_HZ = 44_100
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2"),
)
SOUNDFONT_KITS = (0, 8, 16, 24, 25, 32, 40)  # bank 128: standard, room, power, electronic, 808, jazz, brush
HYDROGEN_FOLDER = Path("/usr/share/hydrogen/data/drumkits")
LENGTH_S = {"kick": 1.2, "snare": 1.2, "stick": 0.6, "closed": 0.8, "open": 1.8, "tom": 1.6, "crash": 3.0, "ride": 2.5}
KEYS = {
    "kick": (35, 36),
    "snare": (38, 40),
    "stick": (37, 39),
    "closed": (42, 44),
    "open": (46,),
    "tom": (41, 43, 45, 47, 48, 50),
    "crash": (49, 57, 52, 55),
    "ride": (51, 53, 59),
}
VELOCITIES = (30, 60, 85, 105, 125)
GAP_S = 3.2
HYDROGEN_NAMES = (
    ("", r"roll|choke|tambourine|agogo|cowbell|semi|hat free|zap|fx|dry|finger|side o?hh"),
    ("ride", r"ride"),
    ("crash", r"crash|china|splash|cymbal"),
    ("kick", r"kick|bass ?drum"),
    ("stick", r"stick|rim click|clap|^click"),
    ("snare", r"snare"),
    ("closed", r"clos|pedal|hat.*(cl|pd)$|hat low"),
    ("open", r"open|hat.* op"),
    ("tom", r"tom"),
)

# Bass, accompaniment and lead of a band: General MIDI programs, lowest and highest key, notes at once.
BAND = (
    (tuple(range(32, 40)), 28, 48, 1),
    ((0, 4, 16, 24, 25, 26, 27, 29, 30, 48, 50, 62, 80, 89), 48, 76, 3),
    ((40, 52, 53, 54, 56, 65, 66, 73, 80, 81, 85), 57, 84, 1),
)

Voice = list[tuple[float, np.ndarray]]  # layers: velocity 0-1 and a mono sample that starts at its audible onset
Kit = dict[str, list[Voice]]


def trimmed(sample: np.ndarray, kind: str) -> np.ndarray | None:
    """The sample from its audible onset (-26 dB below its attack), peak 1, at most LENGTH_S; None when silent."""
    attack = np.abs(sample[: RATE_HZ // 2])
    if len(attack) == 0 or attack.max() < 1e-4:
        return None
    first = int(np.argmax(attack >= 0.05 * attack.max()))
    sample = sample[first : first + round(LENGTH_S[kind] * RATE_HZ)].astype(np.float32)
    fade = min(len(sample), 2000)
    sample[len(sample) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return sample / np.abs(sample).max()


def rendered(midi: pretty_midi.PrettyMIDI, soundfont: Path) -> np.ndarray:
    """Plays MIDI with fluidsynth, dry; float32, mono, 44.1 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        midi_path, wav_path = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        midi.write(str(midi_path))
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-r", str(RATE_HZ), "-g", "0.5", "-T", "wav"]
        subprocess.run([*command, "-F", str(wav_path), str(soundfont), str(midi_path)], check=True, capture_output=True)
        return soundfile.read(wav_path, dtype="float32", always_2d=True)[0].mean(axis=1)


def bleed_clip(rng: np.random.Generator, duration_s: float) -> np.ndarray:
    """A band without drums playing at random: what may leak into a separated drum stem.  Peak 1."""
    midi = pretty_midi.PrettyMIDI(resolution=960)
    beat_s = 60 / rng.uniform(70, 170)
    for programs, low, high, voices in BAND:
        part = pretty_midi.Instrument(int(rng.choice(programs)))
        time_s = 0.0
        while time_s < duration_s:
            length_s = beat_s * rng.choice([0.25, 0.5, 0.5, 1, 1, 2, 4])
            for _ in range(voices if rng.random() < 0.85 else 0):
                velocity, pitch = int(rng.integers(60, 120)), int(rng.integers(low, high))
                part.notes.append(pretty_midi.Note(velocity, pitch, time_s + 0.01, time_s + length_s * 0.95))
            time_s += length_s
        if rng.random() < 0.75:
            midi.instruments.append(part)
    if not midi.instruments:
        midi.instruments.append(part)
    audio = rendered(midi, SOUNDFONTS[0])[: round(duration_s * RATE_HZ)]
    return audio / np.abs(audio).max()


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
    voices: dict[tuple[str, int], Voice] = {}
    for i, (kind, key, velocity) in enumerate(wanted):
        at = round((0.09 + i * GAP_S) * RATE_HZ)
        sample = trimmed(audio[at : at + round((GAP_S - 0.1) * RATE_HZ)], kind)
        if sample is not None:
            voices.setdefault((kind, key), []).append((velocity / 127, sample))
    kit: Kit = {}
    for (kind, _), voice in voices.items():
        kit.setdefault(kind, []).append(voice)
    return kit


def hydrogen_kind(name: str) -> str:
    """Kind of drum a Hydrogen instrument's name stands for; empty when it is none of ours."""
    for kind, pattern in HYDROGEN_NAMES:
        if re.search(pattern, name.lower()):
            return kind
    return ""


def hydrogen_kit(folder: Path) -> Kit:
    """Reads a Hydrogen drum kit, old and new layout."""
    tree = ElementTree.parse(folder / "drumkit.xml")  # noqa: S314 - a file of the distribution, not of a user
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    kit: Kit = {}
    for instrument in tree.iter("instrument"):
        kind = hydrogen_kind(instrument.findtext("name") or "")
        if not kind:
            continue
        layers = [(e.findtext("filename"), float(e.findtext("max") or 1)) for e in instrument.iter("layer")]
        layers = layers or [(instrument.findtext("filename"), 1.0)]
        voice: Voice = []
        for filename, loudest in layers:
            path = folder / (filename or "")
            if not path.is_file():
                continue
            audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
            mono = audio.mean(axis=1)
            if rate_hz != RATE_HZ:
                mono = scipy.signal.resample_poly(mono, RATE_HZ, rate_hz)
            sample = trimmed(mono, kind)
            if sample is not None:
                voice.append((loudest, sample))
        if voice:
            kit.setdefault(kind, []).append(voice)
    return kit


def _noise(rng: np.random.Generator, length_s: float, decay_s: float, low_hz: float, high_hz: float) -> np.ndarray:
    n = round(length_s * RATE_HZ)
    band = scipy.signal.butter(2, [low_hz, min(high_hz, 20_000)], "bandpass", fs=RATE_HZ, output="sos")
    noise = scipy.signal.sosfilt(band, rng.standard_normal(n)) * np.exp(-np.arange(n) / RATE_HZ / decay_s)
    return noise / np.abs(noise).max()


def _tone(length_s: float, decay_s: float, start_hz: float, end_hz: float, sweep_s: float) -> np.ndarray:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    hz = end_hz + (start_hz - end_hz) * np.exp(-t / sweep_s)
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.exp(-t / decay_s)


def _metal(rng: np.random.Generator, length_s: float, decay_s: float, low_hz: float) -> np.ndarray:
    t = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    partials = rng.uniform(low_hz, 14_000, 24)
    decays = decay_s * rng.uniform(0.4, 1.6, 24)
    phases = rng.uniform(0, 6.28, 24)
    waves = sum(
        np.sin(2 * np.pi * f * t + p) * np.exp(-t / d) for f, d, p in zip(partials, decays, phases, strict=True)
    )
    return waves / np.abs(waves).max()


def synthetic_kit(rng: np.random.Generator) -> Kit:
    """A drum machine with random settings: swept sines, noise bursts and inharmonic partials."""
    u = rng.uniform

    def metal(kind: str, decay_s: float) -> np.ndarray:
        hiss = _noise(rng, LENGTH_S[kind], decay_s, u(3000, 8000), 20_000)
        return hiss + u(0, 1) * _metal(rng, LENGTH_S[kind], decay_s, u(400, 4000))

    kick_hz = u(42, 75)
    kick = _tone(1.2, u(0.05, 0.3), kick_hz * u(1.5, 5), kick_hz, u(0.01, 0.04))
    kick[:4000] += u(0, 0.5) * _noise(rng, 4000 / RATE_HZ, 0.005, 1000, 9000)
    snare_hz = u(160, 260)
    snare = u(0.0, 1.0) * _tone(1.2, u(0.03, 0.12), snare_hz * u(1, 2), snare_hz, 0.02)
    snare = snare + u(0.4, 1.0) * _noise(rng, 1.2, u(0.03, 0.2), u(200, 1500), u(7000, 18_000))
    stick = _noise(rng, 0.6, u(0.005, 0.02), u(600, 1500), u(2500, 6000))
    toms = [
        _tone(1.6, u(0.1, 0.4), hz * u(1.1, 1.6), hz, u(0.02, 0.08)) for hz in np.geomspace(u(70, 100), u(160, 240), 3)
    ]
    toms = [tom + u(0, 0.2) * _noise(rng, 1.6, 0.03, 300, 5000) for tom in toms]
    samples = {
        "kick": [kick],
        "snare": [snare],
        "stick": [stick],
        "tom": toms,
        "closed": [metal("closed", u(0.01, 0.06))],
        "open": [metal("open", u(0.15, 0.5))],
        "crash": [metal("crash", u(0.5, 1.2))],
        "ride": [metal("ride", u(0.3, 0.9)) + u(0.5, 1) * _noise(rng, 2.5, 0.01, 2000, 12_000)],
    }
    return {kind: [[(1.0, np.float32(s / np.abs(s).max()))] for s in group] for kind, group in samples.items()}


def load_kits() -> dict[str, Kit]:
    """Every kit that has at least kick, snare and closed hi-hat, by name."""
    kits = {}
    for soundfont in SOUNDFONTS:
        for program in SOUNDFONT_KITS:
            kits[f"{soundfont.stem}:{program}"] = soundfont_kit(soundfont, program)
    for folder in sorted(HYDROGEN_FOLDER.iterdir()):
        kits[folder.name] = hydrogen_kit(folder)
    return {name: kit for name, kit in kits.items() if {"kick", "snare", "closed"} <= set(kit)}
