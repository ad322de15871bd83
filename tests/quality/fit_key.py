"""Learn the weights of :mod:`pipeline.analysis.key`, and write ``pipeline/analysis/key_weights.py``.

    python tests/quality/fit_key.py --pop909 CHECKOUT --billboard CHECKOUT

Reads the sets ``tune`` of :mod:`quality.keyed_pieces`: songs as they are, songs as a poor transcriber hears them, their
first and last minutes, and recordings as chroma; and random notes for music in no key.  It is a multinomial logistic
regression with the same weights for all tonics, scaled so that songs it has not read are right about as often as it
says; it prints how that comes out.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.optimize

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.analysis import key as target
from pipeline.analysis.key import Sounding
from pipeline.notes import Instrument, Note
from quality.keyed_pieces import TUNE, KeyedPiece, billboard, composed, pop909

WEIGHTS = Path(target.__file__).with_name("key_weights.py")
_NO_KEY = 24
_RIDGE = 1e-4
_NO_KEY_WEIGHT = 0.2  # of all evidence, that random notes are in no key
_RANDOM_LISTS = 600


def sounding(notes: np.ndarray) -> Sounding:
    """Of rows of pitch, start and end."""
    played = (Note(int(p), float(start), float(max(end, start + 0.01)), 0.5) for p, start, end in notes)
    return Sounding.of([Instrument("", 0, False, "other", tuple(played))])


def rows(piece: KeyedPiece) -> np.ndarray:
    """Pitch, start and end of all pitched notes."""
    notes = [n for one in piece.instruments if not one.is_drum for n in one.notes]
    return np.array([(n.pitch, n.start_s, n.end_s) for n in notes])


def misheard(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to three in ten notes missed, short ghosts at harmonics and octaves, and some at random."""
    kept = notes[rng.random(len(notes)) > rng.uniform(0, 0.3)]
    heard = [kept]
    for interval in (7, 12, 19, 16, 24, -12):
        ghosts = kept[rng.random(len(kept)) < rng.uniform(0, 0.15)].copy()
        ghosts[:, 0] += interval
        ghosts[:, 2] = np.minimum(ghosts[:, 2], ghosts[:, 1] + rng.uniform(0.1, 0.5))
        heard.append(ghosts)
    count = int(rng.uniform(0, 0.1) * len(notes))
    starts = rng.uniform(0, notes[:, 2].max(), count)
    heard.append(np.stack([rng.integers(36, 90, count), starts, starts + rng.uniform(0.1, 0.4, count)], axis=1))
    out = np.concatenate(heard)
    out[:, 0] = np.clip(out[:, 0], 0, 127)
    return out


def keyless(rng: np.random.Generator) -> np.ndarray:
    """15 to 800 notes without a key: anywhere, a random walk, twelve-tone rows, or within an octave."""
    count = int(np.exp(rng.uniform(np.log(15), np.log(800))))
    starts = np.sort(rng.uniform(0, count / rng.uniform(1, 8), count))
    lengths = rng.exponential(rng.uniform(0.1, 0.6), count) + 0.05
    pitches = (
        rng.integers(30, 95, count),
        60 + np.clip(np.cumsum(rng.integers(-4, 5, count)), -30, 30),
        np.concatenate([48 + 12 * rng.integers(0, 3, 12) + rng.permutation(12) for _ in range(count // 12 + 1)])[
            :count
        ],
        rng.integers(40, 80) + rng.integers(0, 12, count),
    )[rng.integers(4)]
    return np.stack([pitches, starts, starts + lengths], axis=1)


def examples(pop: Path, charts: Path) -> Iterator[tuple[np.ndarray, int, int]]:
    """Features, number of the key, and number of the song, of which all examples stay together."""
    rng = np.random.default_rng(0)
    song = 0
    for piece in [*pop909(pop, TUNE, 10_000), *composed(TUNE, 8), *(one.piece() for one in billboard(charts, TUNE))]:
        notes, label = rows(piece), piece.key.tonic + 12 * piece.key.minor
        end_s = notes[:, 2].max()
        heard = [notes, misheard(notes, rng)]
        if end_s > 90:
            heard += [misheard(notes[notes[:, 1] < 60], rng), misheard(notes[notes[:, 1] > end_s - 60], rng)]
        for one in heard:
            yield sounding(one).features(), label, song
        song += 1
    for one in billboard(charts, TUNE):
        features = one.recording().features()
        for _ in range(2):
            yield features, one.key.tonic + 12 * one.key.minor, song
        song += 1


def fitted(features: np.ndarray, labels: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """Weights of major, of minor, bias of major, evidence for no key; shape (74,)."""
    every = np.concatenate([features, nothing])
    label = np.concatenate([labels, np.full(len(nothing), _NO_KEY)])
    share = np.concatenate(
        [np.full(len(labels), 1 / len(labels)), np.full(len(nothing), _NO_KEY_WEIGHT / len(nothing))]
    )

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat[:72].reshape(2, 36)
        odds = probabilities(every, flat)
        value = -(share * np.log(odds[np.arange(len(every)), label] + 1e-30)).sum() + _RIDGE * (weights**2).sum()
        odds[np.arange(len(every)), label] -= 1
        odds *= share[:, None]
        slopes = [
            np.einsum("nt,ntk->k", odds[:, at : at + 12], every) + 2 * _RIDGE * weights[at // 12] for at in (0, 12)
        ]
        return float(value), np.concatenate([*slopes, [odds[:, :12].sum(), odds[:, 24].sum()]])

    return scipy.optimize.minimize(loss, np.zeros(74), jac=True, method="L-BFGS-B", options={"maxiter": 800}).x


def probabilities(features: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Of the 24 keys and none."""
    nothing = np.full((len(features), 1), flat[73])
    scores = np.concatenate([features @ flat[:36] + flat[72], features @ flat[36:72], nothing], axis=1)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def calibration(features: np.ndarray, labels: np.ndarray, songs: np.ndarray, nothing: np.ndarray) -> float:
    """What to scale weights by, from each quarter of the songs as judged by what the others teach; prints accuracy."""
    odds = np.zeros((len(labels), 25))
    for quarter in range(4):
        apart = songs % 4 == quarter
        odds[apart] = probabilities(features[apart], fitted(features[~apart], labels[~apart], nothing))
    surprise = {scale: _surprise(odds**scale, labels) for scale in np.arange(0.8, 2.01, 0.05).round(2).tolist()}
    scale = min(surprise, key=surprise.__getitem__)
    odds = odds**scale / (odds**scale).sum(axis=1, keepdims=True)
    told, right = odds.max(axis=1), odds.argmax(axis=1) == labels
    print(f"{len(labels)} examples of {songs.max() + 1} songs: {right.mean():.3f} right; scale {scale}")
    for low, high in ((0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.97), (0.97, 1.01)):
        here = (told >= low) & (told < high)
        print(f"  confidence {told[here].mean():.2f}: {right[here].mean():.2f} of {here.sum()}")
    return scale


def _surprise(odds: np.ndarray, labels: np.ndarray) -> float:
    return -float(np.log(odds[np.arange(len(labels)), labels] / odds.sum(axis=1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pop909", type=Path, required=True)
    parser.add_argument("--billboard", type=Path, required=True)
    args = parser.parse_args()
    features, labels, songs = (np.array(column) for column in zip(*examples(args.pop909, args.billboard), strict=True))
    rng = np.random.default_rng(1)
    nothing = np.array([sounding(keyless(rng)).features() for _ in range(_RANDOM_LISTS)])
    scale = calibration(features, labels, songs, nothing)
    flat = np.round(scale * fitted(features, labels, nothing), 2)
    lines = [
        '"""What :mod:`pipeline.analysis.key` has learned; written by ``tests/quality/fit_key.py``."""\n',
        "import numpy as np\n",
        "# Each row from the tonic on, by semitones: pitch classes, major triads, minor triads.",
        "# fmt: off",
    ]
    for name, start in (("MAJOR_WEIGHTS", 0), ("MINOR_WEIGHTS", 36)):
        lines += [f"{name} = np.array(["]
        lines += [
            "    " + ", ".join(map(repr, flat[at : at + 12].tolist())) + "," for at in range(start, start + 36, 12)
        ]
        lines += ["])"]
    lines += ["# fmt: on", f"MAJOR_BIAS = {float(flat[72])!r}", f"NO_KEY = {float(flat[73])!r}", ""]
    WEIGHTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
