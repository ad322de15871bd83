"""All that is rendered for the drum network: what there is to train on, and what it is measured on.

A corpus is a folder of files of performances.  ``composed-*`` and ``human-*`` are trained on, ``separated-*`` too (drum
stems that have been through our own separation); ``held-out-*`` is played on kits, and has bleed of pieces, that are in
none of those.  A file that is there is not rendered again: delete the folder after changing what is rendered.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from pipeline.song import SongPipeline
from pipeline.training.drums.human_grooves import performances
from pipeline.training.drums.kits import HYDROGEN_FOLDERS, Kit, distribution_kits
from pipeline.training.drums.render import HELD_OUT, Song, Sources, leaks, render_song, write_songs
from pipeline.training.drums.sample_libraries import library_kits
from pipeline.training.drums.separated import separated_song
from pipeline.training.pieces import midi_files
from pipeline.training.separating import separating_pipeline

SONGS_PER_FILE = 100
SEPARATED_PER_FILE = 6
_BALANCES_SEED = 5
_LEAKS_SEED, _HELD_OUT_LEAKS_SEED = 5, 6
_HELD_OUT_PIECES = 5  # one in five
_HELD_OUT_SEED, _SEPARATED_SEED, _HUMAN_SEED = 1_000_000, 2_000_000, 3_000_000


@dataclass(frozen=True)
class Plan:
    """What to render, and from what.

    Attributes:
        folder: of the corpus.
        composed: files of composed performances.
        human: files of real drummers' performances; none without ``groove_midi``.
        separated: files of separated ones; one more is held out.
        groove_midi: the unpacked Groove MIDI dataset, with its ``info.csv``.
        pieces: a folder of POP909's MIDI files; one in five is kept for what is held out.
        libraries: folders by the names that sample_libraries.py knows.
        hydrogen: folders of Hydrogen's kits.
        workers: processes at once.
    """

    folder: Path
    composed: int = 15
    human: int = 15
    separated: int = 3
    groove_midi: Path | None = None
    pieces: Path | None = None
    libraries: Mapping[str, Path] | None = None
    hydrogen: Sequence[Path] = HYDROGEN_FOLDERS
    workers: int = 1


def all_kits(plan: Plan) -> dict[str, Kit]:
    """Every kit by name.

    Raises:
        TrainingError: a library's folder has none of its samples.
    """
    kits: dict[str, Kit] = {}
    for name, folder in sorted((plan.libraries or {}).items()):
        kits |= library_kits(name, folder, np.random.default_rng(_BALANCES_SEED))
    return kits | distribution_kits(plan.hydrogen)  # last: these take minutes


def _split(folder: Path | None) -> tuple[list[Path], list[Path]]:
    """The MIDI files below a folder to train on, and those to measure with; none without a folder.

    Raises:
        TrainingError: there is none below it.
    """
    pieces = midi_files(folder)
    apart = pieces[_HELD_OUT_PIECES - 1 :: _HELD_OUT_PIECES]
    return [path for path in pieces if path not in apart], apart


def render_corpus(plan: Plan) -> None:
    """Renders every file of the plan that is not there yet.

    Raises:
        TrainingError: there are no pieces, or no samples of a library, where they should be.
    """
    pieces, pieces_apart = _split(plan.pieces)
    plan.folder.mkdir(parents=True, exist_ok=True)
    kits = all_kits(plan)
    training = Sources(
        {name: kit for name, kit in kits.items() if name not in HELD_OUT},
        human_share=0.0,
        leaks=leaks(_LEAKS_SEED, pieces),
    )
    apart = Sources(
        {name: kits[name] for name in HELD_OUT},
        human_share=0.0,
        leaks=leaks(_HELD_OUT_LEAKS_SEED, pieces_apart),
        as_they_are=True,
    )
    groups: list[tuple[str, Callable[[int], Song], int, int, int]] = []
    folder = plan.groove_midi
    groups.append(("held-out-composed", partial(render_song, apart), 1, 60, _HELD_OUT_SEED))
    if folder:
        validation = replace(apart, performances=performances(folder, "validation"), human_share=1.0)
        groups.append(("held-out-human", partial(render_song, validation), 1, 60, _HELD_OUT_SEED + 1000))
    groups.append(("composed", partial(render_song, training), plan.composed, SONGS_PER_FILE, 0))
    if folder:
        played = replace(training, performances=performances(folder, "train"), human_share=1.0)
        groups.append(("human", partial(render_song, played), plan.human, SONGS_PER_FILE, _HUMAN_SEED))
    if plan.separated:
        separation = separating_pipeline()
        both = replace(played, human_share=0.6) if folder else training
        for name, sources, music, count, seed in (
            ("held-out-separated", apart, pieces_apart, 1, _SEPARATED_SEED),
            ("separated", both, pieces, plan.separated, _SEPARATED_SEED + 1000),
        ):
            separating = partial(_separated, sources, music, separation)
            groups.append((name, separating, count, SEPARATED_PER_FILE, seed))
    for name, song, n_files, size, seed in groups:
        jobs = [(plan.folder / f"{name}-{i:03d}.npz", seed + i * size, size) for i in range(n_files)]
        _render(song, jobs, 1 if "separated" in name else plan.workers)


def _separated(sources: Sources, pieces: Sequence[Path], separation: SongPipeline, seed: int) -> Song:
    return separated_song(sources, seed, pieces, separation)


_SONG: list[Callable[[int], Song]] = []  # what a worker renders with: inherited, since kits are too large to be sent


def _render(song: Callable[[int], Song], jobs: Sequence[tuple[Path, int, int]], workers: int) -> None:
    missing = [job for job in jobs if not job[0].exists()]
    _SONG[:] = [song]
    if workers == 1:
        for job in missing:
            _render_file(job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        list(pool.map(_render_file, missing))


def _render_file(job: tuple[Path, int, int]) -> None:
    path, seed, size = job
    write_songs(path, [_SONG[0](seed + i) for i in range(size)])
    print(f"rendered {path.name}", flush=True)
