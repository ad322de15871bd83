"""Songs made up for tests: their tempo, metre and feel are known."""

import numpy as np

from pipeline.notes import Instrument, Note

KICK, SNARE, HAT, CRASH = 36, 38, 42, 49
_CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # C, a, F, G


def composed_song(
    bpm: float,
    *,
    duration_s: float = 40.0,
    start_s: float = 0.7,
    swing: float = 0.5,
    jitter_s: float = 0.012,
    slowing: float = 0.0,
    drums: bool = True,
) -> list[Instrument]:
    """A rock song in C major, 4/4: drums, bass, chords, and a tune.

    Args:
        bpm: quarter notes per minute.
        start_s: time of the first downbeat.
        swing: where in the beat its second eighth is: 0.5 even, 0.667 a triplet's.
        jitter_s: standard deviation of every onset.
        slowing: how much longer the last beat is than the first, as a fraction.
        drums: whether there are any.
    """
    random = np.random.default_rng(5)
    n_beats = int((duration_s - start_s) * bpm / 60)

    def at_s(beat: float) -> float:
        whole, part = divmod(beat, 1.0)
        swung = whole + (part * 2 * swing if part <= 0.5 else swing + (part - 0.5) * 2 * (1 - swing))
        slowed = swung + slowing * swung**2 / (2 * n_beats)
        return max(start_s + slowed * 60 / bpm + float(random.normal()) * jitter_s, 0.0)

    def part(events: list[tuple[int, float, float, float]]) -> tuple[Note, ...]:
        notes = []
        for pitch, beat, beats, velocity in events:
            onset_s = at_s(beat)
            notes.append(Note(pitch, onset_s, onset_s + max(beats * 60 / bpm, 0.05), velocity))
        return tuple(sorted(notes, key=lambda note: (note.start_s, note.pitch)))

    kit: list[tuple[int, float, float, float]] = []
    bass, chords, tune = list(kit), list(kit), list(kit)
    for beat in range(n_beats):
        bar, place = divmod(beat, 4)
        chord = _CHORDS[bar % 4]
        kit.append((SNARE if place % 2 else KICK, beat, 0.2, 0.9))
        kit += [(HAT, beat + part_of, 0.2, 0.6) for part_of in (0.0, 0.5)]
        if bar % 8 == 0 and place == 0:
            kit.append((CRASH, beat, 0.2, 0.9))
        bass += [(36 + chord[0], beat + part_of, 0.45, 0.8) for part_of in (0.0, 0.5) if random.random() < 0.8]
        if place == 0:
            chords += [(60 + pitch, beat, 3.9, 0.6) for pitch in chord]
        tune.append((72 + int(random.choice((0, 2, 4, 5, 7, 9))), beat + 0.5 * int(random.integers(2)), 0.45, 0.7))
    instruments = [
        Instrument("Electric Bass (finger)", 33, False, "bass", part(bass)),
        Instrument("Electric Piano 1", 4, False, "other", part(chords)),
        Instrument("Voice Oohs", 53, False, "vocals", part(tune)),
    ]
    return [Instrument("Drums", 0, True, "drums", part(kit)), *instruments] if drums else instruments


def random_onsets(duration_s: float, per_s: float, seed: int) -> list[Instrument]:
    """Drums and keys without any beat."""
    random = np.random.default_rng(seed)

    def notes(pitches: tuple[int, ...]) -> tuple[Note, ...]:
        starts = np.sort(random.uniform(0, duration_s, int(duration_s * per_s / 2)))
        return tuple(
            Note(int(random.choice(pitches)), float(at), float(at) + 0.2, float(random.uniform(0.3, 1)))
            for at in starts
        )

    return [
        Instrument("Drums", 0, True, "drums", notes((KICK, SNARE, HAT))),
        Instrument("Electric Piano 1", 4, False, "other", notes(tuple(range(40, 80)))),
    ]
