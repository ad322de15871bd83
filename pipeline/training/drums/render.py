"""Renders drum performances with known strokes to what the network looks at."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.training.drums.bands import band
from pipeline.training.drums.grooves import Hit, compose
from pipeline.training.drums.human_grooves import perform
from pipeline.training.drums.kits import NEEDED, RATE_HZ, FloatArray, Kit, one_of
from pipeline.training.drums.mixing import GAINS, mix, worn
from pipeline.training.drums.synthetic_kits import synthetic_kit
from pipeline.transcription.drum_classes import CLASSES, tom_class
from pipeline.transcription.drum_features import FINE, band_powers, relative_levels

# Take no part in training: what these kits' performances sound like says how others' do.
HELD_OUT = ("Audiophob", "BJA_Pacific", "Millo-Drums_v.1", "Millo_MultiLayered2", "Millo_MultiLayered3")
SONG_S = 20.0
N_BANDS_CLIPS, BAND_CLIP_S = 16, 60.0
SYNTHETIC_SHARE, WHOLE_KIT_SHARE = 0.15, 0.3  # of the kits; the rest are put together from several
VARIED_SHARE = 0.6
DRUMLESS_SHARE = 0.04
_CLASS_OF = {
    "kick": "kick",
    "snare": "snare",
    "stick": "side stick",
    "closed": "closed hat",
    "pedal": "pedal hat",
    "open": "open hat",
    "crash": "crash",
    "ride": "ride",
}


@dataclass(frozen=True)
class Sources:
    """What performances are made of.

    Attributes:
        kits: by name.
        performances: MIDI files of real drummers; none: all is composed.
        human_share: of the performances that are theirs.
        leaks: music without drums, of a minute each.
        as_they_are: kits are used whole and unvaried, one after the other (for measuring).
    """

    kits: dict[str, Kit]
    performances: Sequence[Path] = ()
    human_share: float = 0.5
    leaks: Sequence[FloatArray] = ()
    as_they_are: bool = False

    def owners(self, kinds: Set[str]) -> list[list[str]]:
        """Names of the kits that have all these kinds of drum, those of one family together, in a settled order."""
        families: dict[str, list[str]] = {}
        for name in sorted(name for name, kit in self.kits.items() if set(kit) >= kinds):
            families.setdefault(name.partition(":")[0], []).append(name)
        return list(families.values())

    def drawn(self, rng: np.random.Generator, kinds: Set[str]) -> Kit:
        """A kit that has these kinds, every family as likely: a library's many kits are much alike."""
        return self.kits[one_of(rng, one_of(rng, self.owners(kinds)))]


@dataclass(frozen=True)
class Song:
    """What the network looks at, and what it shall find.

    Attributes:
        levels: float16, (n_frames, 80); ``drum_features.relative_levels``.
        profile: float16, (80,).
        hits: float32, (n_hits, 3): time in s, index into CLASSES, velocity 0-1.
    """

    levels: npt.NDArray[np.float16]
    profile: npt.NDArray[np.float16]
    hits: npt.NDArray[np.float32]


def leaks(seed: int, pieces: Sequence[Path]) -> list[FloatArray]:
    """Some minutes of music without drums."""
    rng = np.random.default_rng(seed)
    return [band(rng, BAND_CLIP_S, pieces)[0] for _ in range(N_BANDS_CLIPS)]


def _kit(rng: np.random.Generator, sources: Sources, seed: int) -> tuple[Kit, bool]:
    """A kit and whether its drums are to be varied."""
    if sources.as_they_are:
        names = [name for family in sources.owners(NEEDED) for name in family]
        return sources.kits[names[seed % len(names)]], False
    choice = rng.random()
    if choice < SYNTHETIC_SHARE:
        kit = synthetic_kit(rng)
    elif choice < SYNTHETIC_SHARE + WHOLE_KIT_SHARE:
        kit = dict(sources.drawn(rng, NEEDED))
    else:
        kit = {kind: sources.drawn(rng, {kind})[kind] for kind in GAINS if sources.owners({kind})}
    if "other" not in kit and sources.owners({"other"}):
        kit["other"] = sources.drawn(rng, {"other"})["other"]
    return kit, rng.random() < VARIED_SHARE


def labelled(hits: Sequence[Hit], pitches: Sequence[float]) -> npt.NDArray[np.float32]:
    """Rows of time, class and velocity; percussion without a class has none."""
    rows = [
        (hit.time_s, CLASSES.index(tom_class(pitch) if hit.kind == "tom" else _CLASS_OF[hit.kind]), hit.velocity)
        for hit, pitch in zip(hits, pitches, strict=True)
        if hit.kind != "other"
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def dry_song(
    rng: np.random.Generator, sources: Sources, seed: int, tempo_bpm: float = 0.0, duration_s: float = SONG_S
) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    """One performance as its microphones hear it, and its strokes.

    Args:
        rng: draws the performance.
        sources: what it is made of.
        seed: of the song: which kit is next where kits are used as they are.
        tempo_bpm: to compose at, from 0 s on; 0 for any, or a real drummer's performance.
        duration_s: of the performance.

    Returns:
        Samples, (duration_s * 44100,), and strokes, (n_hits, 3), as :class:`Song` has them.
    """
    kit, varied = _kit(rng, sources, seed)
    if not tempo_bpm and sources.performances and rng.random() < sources.human_share:
        path = one_of(rng, sources.performances)
        hits = perform(rng, kit, path, duration_s)
    else:
        hits = compose(rng, kit, duration_s, tempo_bpm, 0.02 if tempo_bpm else -1.0)
    audio, pitches = mix(rng, kit, hits, duration_s, varied)
    return audio, labelled(hits, pitches)


def heard(samples: FloatArray, hits: npt.NDArray[np.float32]) -> Song:
    """A song as the network looks at it."""
    levels, profile = relative_levels(band_powers(samples, FINE))
    return Song(levels.astype(np.float16), profile.astype(np.float16), hits)


def render_song(sources: Sources, seed: int) -> Song:
    """One performance, worn down; four in a hundred have no drums."""
    rng = np.random.default_rng(seed)
    if rng.random() < DRUMLESS_SHARE and not sources.as_they_are:
        hits = np.zeros((0, 3), dtype=np.float32)
        n = round(SONG_S * RATE_HZ)
        noise = np.asarray(0.01 * rng.standard_normal(n), dtype=np.float32)
        dry = one_of(rng, sources.leaks)[:n] if rng.random() < 0.7 else noise
    else:
        dry, hits = dry_song(rng, sources, seed)
    return heard(worn(rng, dry, sources.leaks), hits)


def write_songs(path: Path, songs: Sequence[Song]) -> None:
    """One file of many songs; appears only when it is whole."""
    parts = path.with_name(f".{path.name}")
    np.savez(
        parts,
        levels=np.concatenate([song.levels for song in songs]),
        profiles=np.array([song.profile for song in songs]),
        n_frames=np.array([len(song.levels) for song in songs]),
        hits=np.concatenate([song.hits for song in songs]),
        n_hits=np.array([len(song.hits) for song in songs]),
    )
    parts.rename(path)


def read_songs(path: Path) -> Iterator[Song]:
    """The songs of one file."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    frame = hit = 0
    for profile, n_frames, n_hits in zip(arrays["profiles"], arrays["n_frames"], arrays["n_hits"], strict=True):
        yield Song(arrays["levels"][frame : frame + n_frames], profile, arrays["hits"][hit : hit + n_hits])
        frame += n_frames
        hit += n_hits
