"""How near transcribed notes come to the true ones.

Conventions
-----------
* A *note array* is float64 of shape (n, 4): onset in seconds, end in seconds, MIDI pitch, velocity 0-127; sorted by
  onset (:func:`note_array` makes one).  Of drums the pitch is the General MIDI percussion key and the end has no
  meaning.
* *True* notes come first, *found* ones second.  A song's notes are given by the stem they belong to: of
  :data:`STEMS`; what a separator calls ``other`` holds whatever of guitar and piano it does not tell apart.
* A note is matched to at most one other, by a largest bipartite matching (mir_eval), not greedily: figures come out
  one or two hundredths higher than with MIREX's scripts, which match greedily.
* Tolerances are inclusive: an onset exactly 50 ms off matches.
* F is the harmonic mean of precision and recall, 2 * matched / (true + found).
* Scores are mappings from a metric's name to a number.  A metric that is undefined for a song (a class with hardly
  any hit, velocities that are all the same) has no entry, and no part in a mean; a stem that has true notes and none
  found counts, with F = 0.
* A mean over songs weighs every song the same, however many notes it has.

Metrics
-------
Pitched stems (:func:`score_notes`): *onset* F, precision and recall: onset within 50 ms and pitch within 50 cents
(mir_eval's and MIREX's ``onset`` condition; "COnP" in singing transcription); *onset+offset* F: the end also within
50 ms or 20 % of the true note's length, whichever is more ("COnPOff"); *velocity r*: Pearson's correlation of true and
found velocity over the notes that the onset condition matches.

Drums (:func:`score_drums`): onset F, 50 ms, of each of five classes of keys; *five*: of all classes' counts together;
*five mean*: the mean of the classes' F; *any*: of onsets whatever their class.  Papers differ: ADTOF uses 50 ms as we
do, others 20 or 30 ms; most do not count hits that coincide in a class as one.

Families (:data:`FAMILIES`): stems are scored one by one and merged: ``harmonic`` is guitar, piano and other together,
since four-stem separators do not tell them apart, and ``all pitched`` is everything but drums.  In a merged family
notes of one pitch that start within 30 ms are one note, on both sides (:func:`without_unisons`): two instruments in
unison are one note to whoever hears only their pitch.  mir_eval has no such rule: without it unisons in the truth can
not all be found.

Instruments (:func:`instrument_share`): *family*, of the pitched notes that the onset condition matches, the share whose
instrument is of the family (:mod:`pipeline.instrument_families`, by General MIDI program) of one that truly plays that
pitch then.

Velocity r needs no calibration of the velocities, where mir_eval's ``transcription_velocity`` fits a line and counts a
note only if its velocity is near it: there a wrong velocity costs a note, here the two are told apart.

Absent stems (:func:`absent_stem_rates`): notes found per 10 s in stems of which a song has none; any of them is wrong.
"""

from collections.abc import Collection, Iterable, Mapping

import mir_eval
import numpy as np
from numpy.typing import NDArray

Notes = NDArray[np.float64]
Scores = dict[str, float]

ONSET_TOLERANCE_S = 0.05
PITCH_TOLERANCE_CENTS = 50.0
END_TOLERANCE_S = 0.05
END_TOLERANCE_SHARE = 0.2  # of the true note's length
UNISON_S = 0.03
SAME_HIT_S = 0.02
MIN_NOTE_S = 0.01  # shorter ones, which some truth has, are taken for this long: mir_eval takes no empty interval
MIN_HITS_OF_CLASS = 3  # a class with fewer true hits in a song has no F there
MIN_PAIRS_FOR_R = 10
MIN_TRUE_VELOCITY_SD = 2.0  # of 127: truth without dynamics correlates with nothing
MIN_FOUND_VELOCITY_SD = 1e-6

STEMS = ("drums", "bass", "vocals", "guitar", "piano", "other")
FAMILIES = {
    "bass": ("bass",),
    "vocals": ("vocals",),
    "harmonic": ("guitar", "piano", "other"),
    "all pitched": ("bass", "vocals", "guitar", "piano", "other"),
    "guitar": ("guitar",),
    "piano": ("piano",),
    "other": ("other",),
}
DRUM_CLASSES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hi-hat": (42, 44, 46),
    "toms": (41, 43, 45, 47, 48, 50),
    "cymbals": (49, 51, 52, 53, 55, 57, 59),
}
COUNTS = ("true", "found")  # names in Scores that are counts, and are summed over songs rather than averaged


def note_array(notes: Iterable[tuple[float, float, float, float]]) -> Notes:
    """A note array of (onset in s, end in s, pitch, velocity 0-127) in any order; ends no less than 10 ms on."""
    array = np.array(list(notes), dtype=np.float64).reshape(-1, 4)
    array[:, 1] = np.maximum(array[:, 1], array[:, 0] + MIN_NOTE_S)
    return array[np.argsort(array[:, 0], kind="stable")]


def without_unisons(notes: Notes) -> Notes:
    """The notes, those of one pitch whose onsets are less than 30 ms apart as one: first onset, last end, loudest."""
    merged: list[list[float]] = []
    latest: dict[int, list[float]] = {}
    for start_s, end_s, pitch, velocity in notes.tolist():
        same = latest.get(round(pitch))
        if same is not None and start_s - same[0] < UNISON_S:
            same[1], same[3] = max(same[1], end_s), max(same[3], velocity)
            continue
        merged.append([start_s, end_s, pitch, velocity])
        latest[round(pitch)] = merged[-1]
    return np.array(merged, dtype=np.float64).reshape(-1, 4)


def score_notes(true: Notes, found: Notes, *, velocities: bool = True) -> Scores:
    """How well pitched notes were found.

    Args:
        true: note array.
        found: note array.
        velocities: whether the true velocities were measured or set, not made up by the truth's author.

    Returns:
        ``true`` and ``found`` (counts), ``onset_f``, ``onset_precision``, ``onset_recall``, ``onset_offset_f``, and
        ``velocity_r`` where at least ten notes match and both sides' velocities vary; nothing without true notes.
    """
    if not len(true):
        return {}
    scores: Scores = {"true": len(true), "found": len(found)}
    by_onset = _matched_notes(true, found, ends=False)
    scores["onset_f"] = _f(len(by_onset), len(true), len(found))
    scores["onset_precision"] = len(by_onset) / max(len(found), 1)
    scores["onset_recall"] = len(by_onset) / len(true)
    scores["onset_offset_f"] = _f(len(_matched_notes(true, found, ends=True)), len(true), len(found))
    if velocities:
        scores |= _velocity_r([(true[i, 3], found[j, 3]) for i, j in by_onset])
    return scores


def score_drums(true: Notes, found: Notes, *, velocities: bool = True) -> Scores:
    """How well drum hits were found; keys in no class are passed over, hits of a class within 20 ms are one.

    Args:
        true: note array, the pitches percussion keys.
        found: note array.
        velocities: as in :func:`score_notes`.

    Returns:
        ``true`` and ``found`` (counts of hits of the five classes, before coinciding ones are merged); onset F of each
        class that has three true hits, by the names in :data:`DRUM_CLASSES`; ``five``, ``five_mean`` and ``any``; and
        ``velocity_r``.  Nothing without true hits.
    """
    of_class = [(_of_class(true, keys), _of_class(found, keys)) for keys in DRUM_CLASSES.values()]
    n_true, n_found = (sum(len(pair[side]) for pair in of_class) for side in (0, 1))
    if not n_true:
        return {}
    scores: Scores = {"true": n_true, "found": n_found}
    totals = np.zeros(3, dtype=int)
    class_f = []
    for name, (hits, heard) in zip(DRUM_CLASSES, of_class, strict=True):
        counts = _matched_counts(hits[:, 0], heard[:, 0])
        totals += counts
        if counts[1] >= MIN_HITS_OF_CLASS:
            scores[name] = _f(*counts)
            class_f.append(scores[name])
    scores["five"] = _f(*totals)
    if class_f:
        scores["five_mean"] = float(np.mean(class_f))
    scores["any"] = _f(*_matched_counts(*(np.concatenate([pair[side][:, 0] for pair in of_class]) for side in (0, 1))))
    if velocities:
        pairs = [pair for hits, heard in of_class for pair in _velocity_pairs(hits, heard)]
        scores |= _velocity_r(pairs)
    return scores


def score_song(
    true: Mapping[str, Notes],
    found: Mapping[str, Notes],
    *,
    annotated: Collection[str],
    complete: bool = True,
    velocities: bool = True,
) -> dict[str, Scores]:
    """Scores of a song's drums and of every family that has true notes.

    Args:
        true: note arrays by stem.
        found: note arrays by stem.
        annotated: stems whose true notes are known.
        complete: whether the other stems are known to be empty; if not, only families that lie within the annotated
            stems are scored in full, ``all pitched`` not at all.
        velocities: as in :func:`score_notes`.

    Returns:
        Scores by ``drums`` and the names in :data:`FAMILIES`.
    """
    scores: dict[str, Scores] = {}
    if "drums" in annotated:
        drums = (_merged(side, ("drums",)) for side in (true, found))
        scores["drums"] = score_drums(*drums, velocities=velocities)
    for family, members in FAMILIES.items():
        if not set(members) & set(annotated) or (family == "all pitched" and not complete):
            continue
        sides = [_merged(side, members) for side in (true, found)]
        if len(members) > 1:
            sides = [without_unisons(side) for side in sides]
        scores[family] = score_notes(*sides, velocities=velocities)
    return {family: of_family for family, of_family in scores.items() if of_family}


def instrument_share(true: Mapping[str, Notes], found: Mapping[str, Notes]) -> Scores:
    """Of pitched notes that were found, how many by an instrument of the right family.

    Args:
        true: note arrays by the family of the instruments that play them, drums left out.
        found: note arrays by family.

    Returns:
        ``family``, 0-1; nothing where no note was found.
    """
    merged = [without_unisons(_merged(side, side)) for side in (true, found)]
    pairs = _matched_notes(*merged, ends=False)
    right = 0
    for _, index in pairs:
        onset_s, _, pitch, _ = merged[1][index]
        right += bool(_playing(true, onset_s, pitch, ONSET_TOLERANCE_S) & _playing(found, onset_s, pitch, UNISON_S))
    return {"family": right / len(pairs)} if pairs else {}


def _playing(families: Mapping[str, Notes], onset_s: float, pitch: float, within_s: float) -> set[str]:
    """The families of which an instrument starts that pitch about then."""
    return {
        family
        for family, notes in families.items()
        if ((np.round(notes[:, 2]) == round(pitch)) & (np.abs(notes[:, 0] - onset_s) <= within_s)).any()
    }


def absent_stem_rates(
    true: Mapping[str, Notes], found: Mapping[str, Notes], *, listened: Collection[str], duration_s: float
) -> Scores:
    """Notes found per 10 s in each stem that was listened to although the song, annotated completely, has none of it.

    ``other`` is absent only where guitar and piano are too, unless those were listened to on their own.
    """
    has = {stem for stem, notes in true.items() if len(notes)}
    if has & ({"guitar", "piano"} - set(listened)):
        has.add("other")
    return {stem: 10 * len(found.get(stem, ())) / duration_s for stem in sorted(set(listened) - has)}


def mean_scores(songs: Iterable[Scores]) -> Scores:
    """Each metric's mean over the songs that have it, the sums of the counts, and ``songs``, how many there are."""
    songs = list(songs)
    names = dict.fromkeys(name for scores in songs for name in scores)
    means: Scores = {"songs": len(songs)}
    for name in names:
        values = [scores[name] for scores in songs if name in scores]
        means[name] = sum(values) if name in COUNTS else float(np.mean(values))
    return means


def _merged(notes: Mapping[str, Notes], members: Iterable[str]) -> Notes:
    arrays = [notes[stem] for stem in members if stem in notes]
    merged = np.concatenate([np.empty((0, 4)), *arrays])
    return merged[np.argsort(merged[:, 0], kind="stable")]


def _matched_notes(true: Notes, found: Notes, *, ends: bool) -> list[tuple[int, int]]:
    if not len(found):
        return []
    sides = [(side[:, :2], mir_eval.util.midi_to_hz(side[:, 2])) for side in (true, found)]
    return list(
        mir_eval.transcription.match_notes(
            *sides[0],
            *sides[1],
            onset_tolerance=ONSET_TOLERANCE_S,
            pitch_tolerance=PITCH_TOLERANCE_CENTS,
            offset_ratio=END_TOLERANCE_SHARE if ends else None,
            offset_min_tolerance=END_TOLERANCE_S,
        )
    )


def _of_class(notes: Notes, keys: tuple[int, ...]) -> Notes:
    return notes[np.isin(np.round(notes[:, 2]), keys)]


def _matched_counts(true_s: NDArray[np.float64], found_s: NDArray[np.float64]) -> tuple[int, int, int]:
    """Matched, true and found, each hit that follows another within 20 ms left out."""
    true_s, found_s = (
        times[np.diff(times, prepend=-np.inf) > SAME_HIT_S] for times in (np.sort(true_s), np.sort(found_s))
    )
    if not len(true_s) or not len(found_s):
        return 0, len(true_s), len(found_s)
    return len(mir_eval.util.match_events(true_s, found_s, ONSET_TOLERANCE_S)), len(true_s), len(found_s)


def _velocity_pairs(hits: Notes, heard: Notes) -> list[tuple[float, float]]:
    """True and found velocity of matched hits of one class; of coinciding hits the softest comes first."""
    if not len(hits) or not len(heard):
        return []
    hits, heard = (side[np.lexsort((side[:, 3], side[:, 0]))] for side in (hits, heard))
    pairs = mir_eval.util.match_events(hits[:, 0], heard[:, 0], ONSET_TOLERANCE_S)
    return [(hits[i, 3], heard[j, 3]) for i, j in pairs]


def _velocity_r(pairs: list[tuple[float, float]]) -> Scores:
    if len(pairs) < MIN_PAIRS_FOR_R:
        return {}
    true, found = np.array(pairs).T
    if true.std() <= MIN_TRUE_VELOCITY_SD or found.std() <= MIN_FOUND_VELOCITY_SD:
        return {}
    return {"velocity_r": float(np.corrcoef(true, found)[0, 1])}


def _f(matched: int, n_true: int, n_found: int) -> float:
    return 2 * matched / max(n_true + n_found, 1)
