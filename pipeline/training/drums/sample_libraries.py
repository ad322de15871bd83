"""Drum kits of sample libraries that are not packaged: multi-microphone recordings under CC0 and CC BY.

Each is a folder of samples named by drum, loudness and microphone.  Every library gives several kits: the same strokes
through microphones balanced anew, as another engineer would have mixed them, with the leakage of a real room.

* ``muldjord``: MuldjordKit 1.0 by Lars Muldjord, CC BY 4.0 (sfzinstruments/DrumGizmo.MuldjordKit on GitHub).
* ``gogodze``: Gogodze Phu Vol II by Karoryfer, CC0 (sfzinstruments/karoryfer.gogodze-phu-vol-ii).
* ``frankensnare``: Frankensnare by Karoryfer, CC0 (sfzinstruments/karoryfer.frankensnare).
* ``lmms``: ``/usr/share/lmms/samples`` of Debian's lmms-common.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from pipeline.training.drums.kits import FloatArray, Kit, read_mono, trimmed, voice_of
from pipeline.training.errors import TrainingError

N_BALANCES = 4
MAX_LAYERS = 12  # of a drum that was recorded dozens of times
READ_S = 3.2
# A sample's name -> drum ("" when not wanted), stroke (the same through all microphones), microphone.
Parsed = tuple[str, str, str]

_MULDJORD = {
    "China": "crash",
    "CrashL": "crash",
    "CrashR": "crash",
    "HihatClosed": "closed",
    "HihatOpen": "open",
    "KdrumL": "kick",
    "KdrumR": "kick",
    "RideL": "ride",
    "RideLBell": "ride",
    "RideR": "ride",
    "RideRBell": "ride",
    "Snare": "snare",
    "SnareRest": "stick",
    "Tom1": "tom",
    "Tom2": "tom",
    "Tom3": "tom",
    "Tom4": "tom",
}
_GOGODZE = {
    "hc": "closed",
    "ht": "closed",
    "hf": "pedal",
    "hh": "open",
    "ho": "open",
    "ks": "kick",
    "sc": "snare",
    "se": "snare",
    "ss": "stick",
    "th": "tom",
    "tm": "tom",
    "tl": "tom",
}
_FRANKENSNARE = {"sn": "snare", "ss": "stick"}
_FRANKENSNARE_DRUMS = r"1[0-4]\w*_(basic|brush|rimshot|muted)"


def _muldjord(path: Path) -> Parsed:
    stroke, _, microphone = path.stem.partition("-")[2].rpartition("-")
    number = path.stem.partition("-")[0]
    return _MULDJORD.get(path.parent.name, ""), f"{path.parent.name}/{stroke}/{number}", microphone


def _gogodze(path: Path) -> Parsed:
    return _GOGODZE.get(path.stem.partition("_")[0], ""), path.stem, path.parent.name


def _frankensnare(path: Path) -> Parsed:
    drum = path.parent.parent.name
    kind = _FRANKENSNARE.get(path.stem.partition("_")[0], "") if re.fullmatch(_FRANKENSNARE_DRUMS, drum) else ""
    return kind, f"{drum}/{path.stem}", path.parent.name


def _drum_muldjord(stroke: str) -> str:
    return stroke.partition("/")[0]


def _drum_gogodze(stroke: str) -> str:
    return stroke.partition("_")[0]


def _drum_frankensnare(stroke: str) -> str:
    folder, _, name = stroke.partition("/")
    return f"{folder}/{name.partition('_')[0]}"


LIBRARIES: dict[str, tuple[Callable[[Path], Parsed], Callable[[str], str]]] = {
    "muldjord": (_muldjord, _drum_muldjord),
    "gogodze": (_gogodze, _drum_gogodze),
    "frankensnare": (_frankensnare, _drum_frankensnare),
}
NAMES = (*LIBRARIES, "lmms")


def _strokes(folder: Path, parse: Callable[[Path], Parsed]) -> dict[tuple[str, str], dict[str, FloatArray]]:
    """Samples by drum and stroke, then microphone."""
    strokes: dict[tuple[str, str], dict[str, FloatArray]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac")):
        kind, stroke, microphone = parse(path)
        if kind:
            strokes.setdefault((kind, stroke), {})[microphone] = read_mono(path)[: round(READ_S * 44_100)]
    return strokes


def _mixed(channels: dict[str, FloatArray], gains: dict[str, float]) -> FloatArray:
    """All microphones of one stroke, which start together, at the gains of the desk."""
    mix = np.zeros(max(len(channel) for channel in channels.values()), dtype=np.float32)
    for microphone, channel in channels.items():
        mix[: len(channel)] += gains[microphone] * channel
    return mix


def _balances(rng: np.random.Generator, microphones: list[str]) -> Iterator[dict[str, float]]:
    """Gains of the microphones: all open, or only some."""
    for _ in range(N_BALANCES):
        share = rng.uniform(0.3, 1.0)
        opened = [name for name in microphones if rng.random() < share] or [microphones[0]]
        yield {name: 10 ** (rng.normal(0, 6) / 20) if name in opened else 0.0 for name in microphones}


def library_kits(name: str, folder: Path, rng: np.random.Generator) -> dict[str, Kit]:
    """The kits of one library, each with its microphones balanced in another way.

    Args:
        name: one of :data:`NAMES`.
        folder: where it lies.
        rng: draws the balances.

    Returns:
        Kits by name; some have only a few kinds of drum.

    Raises:
        TrainingError: none of its samples is there.
    """
    if name == "lmms":
        only = _lmms(folder)
        _check_found(name, folder, len(only))
        return {name: only}
    parse, drum_of = LIBRARIES[name]
    strokes = _strokes(folder, parse)
    _check_found(name, folder, len(strokes))
    microphones = sorted({microphone for channels in strokes.values() for microphone in channels})
    kits = {}
    for number, gains in enumerate(_balances(rng, microphones)):
        drums: dict[tuple[str, str], list[tuple[float, FloatArray]]] = {}
        for (kind, stroke), channels in strokes.items():
            mix = _mixed(channels, gains)
            sample = trimmed(mix, kind)
            if sample is not None:
                drums.setdefault((kind, drum_of(stroke)), []).append((float(np.square(mix).sum()), sample))
        kit: Kit = {}
        for (kind, _), samples in drums.items():
            kit.setdefault(kind, []).append(voice_of(kind, _ranked(samples)))
        kits[f"{name}:{number}"] = kit
    return kits


def _check_found(name: str, folder: Path, n_found: int) -> None:
    if not n_found:
        raise TrainingError(f"--library {name}={folder}: no samples of {name} below it")


def _ranked(samples: list[tuple[float, FloatArray]]) -> list[tuple[float, FloatArray]]:
    """Samples with velocities by their order of energy, evenly from soft to loud."""
    ordered = sorted(samples, key=lambda sample: sample[0])
    if len(ordered) > MAX_LAYERS:
        ordered = [ordered[round(i)] for i in np.linspace(0, len(ordered) - 1, MAX_LAYERS)]
    return [((i + 1) / len(ordered), sample) for i, (_, sample) in enumerate(ordered)]


_LMMS = (
    ("kick", r"kick|bassdrum|nasty_bass"),
    ("snare", r"snare|clap"),
    ("stick", r"stick|rim"),
    ("closed", r"hihat_closed"),
    ("pedal", r"hihat_foot"),
    ("open", r"hihat_open"),
    ("tom", r"tom"),
    ("crash", r"crash"),
    ("ride", r"ride"),
    ("other", r"shaker|clav|wood"),
)


def _lmms(folder: Path) -> Kit:
    kit: Kit = {}
    for path in sorted((folder / "drums").glob("*.ogg")):
        kind = next((kind for kind, pattern in _LMMS if re.search(pattern, path.stem)), "")
        if not kind:
            continue
        try:
            sample = trimmed(read_mono(path), kind)
        except soundfile.LibsndfileError:  # one of them is a WAV file with a broken header
            continue
        if sample is not None:
            kit.setdefault(kind, []).append(voice_of(kind, [(1.0, sample)]))
    return kit
