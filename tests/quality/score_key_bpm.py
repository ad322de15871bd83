"""How often tempo and key of whole mixes are right, from sound: writes a section of ``RESULTS.md`` for each set.

    python tests/quality/score_key_bpm.py --pop909 CHECKOUT [--work DIR] [--songs 40] [--librosa]
    python tests/quality/score_key_bpm.py --part tune [--sets bands] [--only jazz] [--verbose]

Songs of :mod:`quality.keyed_songs` are played into MP3 files, and those go through ``SongPipeline.tempo_and_key``,
which separates nothing.  ``--work`` keeps the files for the next time.  The page is written from the sets ``report``
only, of which nothing was learned.  One thing was tried on ``bands`` and dropped: telling a key where none is clear.

* *tempo*: within 2 % of the true one, the median in quarter notes, or dotted quarters in compound metres, a minute.
  *octave*: half or twice it, within 2 %; *third*: 1/3, 2/3, 3/4, 4/3, 3/2 or 3 times it; *other*: none of these.
* *key*: as :mod:`quality.score_key` tells errors apart: a fifth away, the relative, the parallel.
* ``rises``: songs with both keys right and the change within five seconds.
* *librosa*: its ``beat_track`` on the same files; for the key, its ``chroma_cqt`` with Krumhansl's profiles.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.analysis.key import Key
from pipeline.models.store import ModelStore, default_root
from pipeline.song import SongPipeline
from quality.keyed_songs import REPORT, TUNE, KeyedSong, bands, pop909, rises, soundfont
from quality.results_page import update_section
from quality.score_key import verdict

TOLERANCE = 0.02
RATIOS = {"octave": (0.5, 2.0), "third": (1 / 3, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 3.0)}
TEMPO_VERDICTS = ("right", "octave", "third", "other", "none")
KEY_VERDICTS = ("right", "fifth", "relative", "parallel", "other", "not told")
_CHANGE_WITHIN_S = 5.0
# C. Krumhansl, "Cognitive Foundations of Musical Pitch" (1990), table 2.1: the profiles that other programs use.
_KRUMHANSL = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)


@dataclass(frozen=True)
class Answer:
    """What a program says of a song.

    Attributes:
        bpm: its tempo.
        bpm_confidence: how sure of it.
        keys: when each key begins, in seconds, and the key.
        main: the key that it is said to be in.
    """

    bpm: float | None
    bpm_confidence: float
    keys: tuple[tuple[float, Key], ...]
    main: Key | None


def tempo_verdict(bpm: float | None, true_bpm: float) -> str:
    """What a tempo is to the true one."""
    if bpm is None:
        return "none"
    ratio = bpm / true_bpm
    if abs(ratio - 1) <= TOLERANCE:
        return "right"
    for name, factors in RATIOS.items():
        if any(abs(ratio / factor - 1) <= TOLERANCE for factor in factors):
            return name
    return "other"


def ours(pipeline: SongPipeline, path: Path) -> Answer:
    found = pipeline.tempo_and_key(path)
    keys = tuple((span.start_s, span.key) for span in found.keys)
    return Answer(found.bpm, found.bpm_confidence, keys, found.key.key if found.key else None)


def librosas(path: Path) -> Answer:
    import librosa

    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = librosa.resample(samples.mean(axis=1), orig_sr=rate_hz, target_sr=22_050)
    tempo, _ = librosa.beat.beat_track(y=mono, sr=22_050)
    chroma = librosa.feature.chroma_cqt(y=mono, sr=22_050).sum(axis=1)
    fits = [np.corrcoef(np.roll(chroma, -tonic), profile)[0, 1] for profile in _KRUMHANSL for tonic in range(12)]
    key = Key.on(int(np.argmax(fits)) % 12, minor=int(np.argmax(fits)) >= 12)
    return Answer(float(np.atleast_1d(tempo)[0]), 1.0, ((0.0, key),), key)


def sounding(songs: Iterable[KeyedSong], folder: Path, part: str) -> list[tuple[KeyedSong, Path]]:
    """The songs and their files, made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for song in songs:
        path = folder / f"{song.name.replace(' ', '-')}.mp3"
        if not path.exists():
            song.write(path.with_stem("unfinished"), soundfont(part))
            path.with_stem("unfinished").rename(path)
        out.append((song, path))
    return out


class Tables:
    """Tempo and key of one set, a row for each program; and what else is told in words."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self.tempo = [f"| tempo, by | n | {' | '.join(TEMPO_VERDICTS)} |", "|---" * (len(TEMPO_VERDICTS) + 2) + "|"]
        self.key = [f"| key, by | n | {' | '.join(KEY_VERDICTS)} |", "|---" * (len(KEY_VERDICTS) + 2) + "|"]
        self.words: list[str] = []

    @property
    def lines(self) -> list[str]:
        return [*self.tempo, "", *self.key, "", *self.words] if len(self.tempo) > 2 else self.words

    def add(self, program: str, songs: Sequence[KeyedSong], answers: Sequence[Answer]) -> None:
        tempos = [tempo_verdict(answer.bpm, song.bpm) for song, answer in zip(songs, answers, strict=True)]
        keys = [verdict(answer.main, song.keys[0][1]) for song, answer in zip(songs, answers, strict=True)]
        self.tempo.append(_row(program, TEMPO_VERDICTS, tempos))
        self.key.append(_row(program, KEY_VERDICTS, keys))
        for song, answer, tempo, key in zip(songs, answers, tempos, keys, strict=True):
            if self._verbose and (tempo, key) != ("right", "right"):
                told = "-" if answer.bpm is None else f"{answer.bpm:.1f} ({answer.bpm_confidence:.2f})"
                names = [one.name if one else "-" for one in (song.keys[0][1], answer.main)]
                print(f"    {song.name:34} {song.bpm:6.1f} {told:15} {tempo:7} {names[0]:9} {names[1]:9} {key}")


def _row(program: str, columns: Sequence[str], verdicts: Sequence[str]) -> str:
    counts = Counter(verdicts)
    return f"| {program} | {len(verdicts)} | {' | '.join(str(counts[column]) for column in columns)} |"


def changes(songs: Sequence[KeyedSong], answers: Sequence[Answer]) -> str:
    right = 0
    for song, answer in zip(songs, answers, strict=True):
        same = [key for _, key in answer.keys] == [key for _, key in song.keys]
        right += same and abs(answer.keys[1][0] - song.keys[1][0]) < _CHANGE_WITHIN_S
    return (
        f"Of {len(songs)} songs that go up one to four semitones halfway, {right} have both keys right and the change "
        f"within {_CHANGE_WITHIN_S:.0f} s."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=(TUNE, REPORT), default=REPORT)
    parser.add_argument("--pop909", type=Path, help="a checkout")
    parser.add_argument("--songs", type=int, default=40, help="how many of POP909")
    parser.add_argument("--sets", nargs="*", default=["bands", "pop909", "rises"])
    parser.add_argument("--only", nargs="*", default=[], help="words of names")
    parser.add_argument("--work", type=Path, help="keeps what is played")
    parser.add_argument("--librosa", action="store_true", help="judge it too")
    parser.add_argument("--verbose", action="store_true", help="print what is wrong")
    args = parser.parse_args()
    sources = {"bands": lambda: bands(args.part), "rises": lambda: rises(args.part)}
    if args.pop909:
        sources["pop909"] = lambda: pop909(args.pop909, args.part, args.songs)
    pipeline = SongPipeline(ModelStore(Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or default_root())))
    with tempfile.TemporaryDirectory() as scratch:
        for name in (name for name in sources if name in args.sets):
            wanted = (song for song in sources[name]() if not args.only or any(word in song.name for word in args.only))
            files = sounding(wanted, (args.work or Path(scratch)) / args.part / name, args.part)
            tables = judged(name, pipeline, files, args)
            print(f"\n{name}", *tables.lines, sep="\n", flush=True)
            if args.part == REPORT and not args.only:
                update_section(f"tempo and key {name}", "\n".join([_head(name, args), *tables.lines]))


def judged(
    name: str, pipeline: SongPipeline, files: Sequence[tuple[KeyedSong, Path]], args: argparse.Namespace
) -> Tables:
    """What is found of one set."""
    tables = Tables(verbose=args.verbose)
    songs = [song for song, _ in files]
    answers = [ours(pipeline, path) for _, path in files]
    if name == "rises":
        tables.words = [changes(songs, answers)]
        return tables
    tables.add("ours", songs, answers)
    tables.words = [f"In {sum(len(answer.keys) > 1 for answer in answers)} a change of key is told; there is none."]
    if args.librosa:
        tables.add("librosa", songs, [librosas(path) for _, path in files])
    return tables


def _head(name: str, args: argparse.Namespace) -> str:
    options = f" --pop909 CHECKOUT --songs {args.songs}" * (name == "pop909") + " --librosa" * args.librosa
    command = f"python tests/quality/score_key_bpm.py --sets {name}{options}"
    return (
        f"## Tempo and key of a mix: {name}\n\nBy `{command}`, which says what is judged. From sound (MP3), nothing "
        "separated; counts of songs.\n"
    )


if __name__ == "__main__":
    main()
