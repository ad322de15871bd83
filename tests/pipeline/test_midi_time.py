"""The tempo map of MIDI files: read back with mido and pretty_midi."""

from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest

from pipeline.analysis.beats import Beats
from pipeline.analysis.key import Key, KeySpan
from pipeline.midi import write_midi
from pipeline.notes import Instrument, Note

HALF_TICK_S = 0.0006
BEAT_OFF_S = 0.0055  # what a tempo may miss a beat by, and half a tick


def song(times, downbeats, signature=(4, 4), per_bar=4, *, steady=False) -> Beats:
    times = np.asarray(times, dtype=np.float64)
    bpm = float(60 / np.median(np.diff(times)))
    return Beats(times, np.asarray(downbeats, dtype=np.int64), per_bar, signature, bpm, 0.9, 0.9, steady)


def even(first_s=0.0, bpm=120.0, n_beats=64, pickup=0, signature=(4, 4), per_bar=4) -> Beats:
    times = first_s + 60 / bpm * np.arange(n_beats)
    return song(times, np.arange(pickup, n_beats, per_bar), signature, per_bar, steady=True)


def drifting(seconds=180.0, seed=0, first_s=0.7) -> Beats:
    """A band that wanders between 100 and 130 BPM, beats 4 ms around its pulse."""
    rng = np.random.default_rng(seed)
    bpm = 115 + 15 * np.sin(np.cumsum(rng.normal(0, 0.05, int(seconds * 3))))
    times = first_s + np.cumsum(60 / bpm) + rng.normal(0, 0.004, len(bpm))
    times = times[times < seconds]
    return song(times, np.arange(2, len(times), 4))


def notes_in(seconds: float, seed: int = 0, count: int = 500) -> Instrument:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, seconds, count))
    notes = tuple(Note(index % 128, float(at), float(at) + 0.3, 0.5) for index, at in enumerate(starts))
    return Instrument("Acoustic Grand Piano", 0, False, "piano", notes)


class Read:
    """A file as a sequencer reads it: absolute ticks, and seconds by its tempos."""

    def __init__(self, path: Path) -> None:
        self.file = mido.MidiFile(path, charset="utf-8")
        self.quarter = self.file.ticks_per_beat
        self.metas = []
        tick = 0
        for message in self.file.tracks[0]:
            tick += message.time
            self.metas.append((tick, message))

    def of(self, kind: str) -> list:
        return [(tick, message) for tick, message in self.metas if message.type == kind]

    def seconds(self, ticks) -> np.ndarray:
        tempos = [(tick, message.tempo) for tick, message in self.of("set_tempo")]
        assert tempos[0][0] == 0
        starts = [0.0]
        for (tick, tempo), (following, _) in pairwise(tempos):
            starts.append(starts[-1] + (following - tick) * tempo / self.quarter / 1e6)
        index = np.searchsorted([tick for tick, _ in tempos], ticks, side="right") - 1
        return np.array(
            [
                starts[i] + (t - tempos[i][0]) * tempos[i][1] / self.quarter / 1e6
                for i, t in zip(index, ticks, strict=True)
            ]
        )

    def starts_s(self, track: int = 1) -> np.ndarray:
        tick, ticks = 0, []
        for message in self.file.tracks[track]:
            tick += message.time
            if message.type == "note_on" and message.velocity:
                ticks.append(tick)
        return self.seconds(ticks)

    def bars(self, until_s: float) -> np.ndarray:
        """Seconds of the bar lines, by the time signatures alone."""
        metres = self.of("time_signature")
        tick, index, lines = 0, 0, []
        while (at := float(self.seconds([tick])[0])) < until_s:
            lines.append(at)
            while index + 1 < len(metres) and metres[index + 1][0] <= tick:
                index += 1
                assert metres[index][0] == tick, "a time signature inside a bar"
            tick += 4 * self.quarter * metres[index][1].numerator // metres[index][1].denominator
        return np.array(lines)

    def beats(self, until_s: float, quarters: float = 1.0) -> np.ndarray:
        ticks = np.arange(0, 40_000) * int(quarters * self.quarter)
        at = self.seconds(ticks)
        return at[at < until_s]


def written(tmp_path: Path, beats: Beats, *instruments: Instrument, keys=()) -> Read:
    path = tmp_path / "song.mid"
    write_midi(instruments, path, beats=beats, keys=keys)
    return Read(path)


def far(wanted, found) -> float:
    """The largest distance of one of ``wanted`` from the nearest of ``found``."""
    return float(np.abs(np.asarray(wanted)[:, None] - np.asarray(found)[None]).min(axis=1).max())


STARTS = (0.0, 0.001, 0.03, 0.07, 0.2, 0.26, 0.5, 0.9, 1.3, 2.0, 2.3, 5.11, 31.7)


@pytest.mark.parametrize("first_s", STARTS)
@pytest.mark.parametrize("pickup", [0, 1, 3])
def test_beats_and_bars_of_the_file_are_those_of_the_song(tmp_path, first_s, pickup):
    beats = even(first_s, bpm=117.3, pickup=pickup)
    notes = notes_in(60.0)
    read = written(tmp_path, beats, notes)
    last_s = beats.times_s[-1] + 0.01
    exact = beats.times_s[int(0 < first_s < 0.0625) :]  # of a beat at once, the file begins with it
    assert far(exact, read.beats(last_s)) < BEAT_OFF_S
    downbeats = beats.times_s[beats.downbeats]
    assert far(downbeats[downbeats >= exact[0]], read.bars(last_s)) < BEAT_OFF_S
    assert np.abs(read.starts_s() - [note.start_s for note in notes.notes]).max() <= HALF_TICK_S
    lead_in = [tempo for tempo in read.of("set_tempo") if tempo[0] == 0]
    assert len(lead_in) == 1
    assert len(read.of("set_tempo")) <= 3
    assert lead_in[0][1].tempo == pytest.approx(60e6 / 117.3, rel=2e-5)  # what reads one tempo reads the song's
    assert read.of("set_tempo")[-1][1].tempo == pytest.approx(60e6 / 117.3, rel=2e-5)
    assert all(message.tempo >= 60e6 / 960 for _, message in read.of("set_tempo"))


@pytest.mark.parametrize("first_s", STARTS)
def test_pretty_midi_finds_the_same_beats_and_downbeats(tmp_path, first_s):
    beats = even(first_s, bpm=96.0, n_beats=40, pickup=2, signature=(3, 4), per_bar=3)
    path = tmp_path / "song.mid"
    write_midi([notes_in(beats.times_s[-1] + 1)], path, beats=beats)
    midi = pretty_midi.PrettyMIDI(str(path))
    skip = int(0 < first_s < 0.0625)
    assert far(beats.times_s[skip:], midi.get_beats()) < BEAT_OFF_S
    assert far(beats.times_s[beats.downbeats], midi.get_downbeats()) < BEAT_OFF_S
    between = midi.get_downbeats()
    between = between[(between >= beats.times_s[2] - 0.1) & (between < beats.times_s[-1])]
    assert len(between) == len(beats.downbeats)


def test_a_song_that_begins_at_once_has_one_tempo_and_one_time_signature(tmp_path):
    read = written(tmp_path, even(0.02, bpm=128.0), notes_in(20.0))
    assert [(tick, message.numerator, message.denominator) for tick, message in read.of("time_signature")] == [
        (0, 4, 4)
    ]
    tempos = [message.tempo for _, message in read.of("set_tempo")]
    assert tempos[-1] == pytest.approx(468_750, abs=1)
    assert tempos[0] == tempos[-1]
    assert len(tempos) <= 3
    assert not read.of("text")


def test_a_lead_in_of_whole_bars_needs_no_incomplete_one(tmp_path):
    read = written(tmp_path, even(1.7, bpm=120.0), notes_in(20.0))
    assert [(tick, message.numerator) for tick, message in read.of("time_signature")] == [(0, 4)]
    assert [tick for tick, _ in read.of("set_tempo")] == [0, 1, 4 * read.quarter]


def test_a_pickup_is_an_incomplete_bar(tmp_path):
    read = written(tmp_path, even(0.0, pickup=1), notes_in(20.0))
    signatures = [(tick, message.numerator) for tick, message in read.of("time_signature")]
    assert signatures == [(0, 1), (read.quarter, 4)]
    assert len(read.of("set_tempo")) == 1


def test_compound_metres_have_their_tempo_in_quarters(tmp_path):
    beats = even(0.0, bpm=80.0, signature=(6, 8), per_bar=2)
    path = tmp_path / "song.mid"
    write_midi([notes_in(50.0)], path, beats=beats)
    read = Read(path)
    ((_, metre),) = read.of("time_signature")
    assert (metre.numerator, metre.denominator, metre.clocks_per_click) == (6, 8, 36)
    assert [message.tempo for _, message in read.of("set_tempo")] == [500_000]
    midi = pretty_midi.PrettyMIDI(str(path))
    assert far(beats.times_s, midi.get_beats()) < 0.001
    assert far(beats.times_s[beats.downbeats], midi.get_downbeats()) < 0.001


@pytest.mark.parametrize(("signature", "per_bar", "quarters"), [((5, 8), 5, 0.5), ((7, 4), 7, 1.0), ((12, 8), 4, 1.5)])
def test_every_metre_has_its_bars(tmp_path, signature, per_bar, quarters):
    beats = even(0.9, bpm=140.0, n_beats=70, pickup=1, signature=signature, per_bar=per_bar)
    read = written(tmp_path, beats, notes_in(20.0))
    last_s = beats.times_s[-1] + 0.01
    assert far(beats.times_s, read.beats(last_s, quarters)) < 0.001
    assert far(beats.times_s[beats.downbeats], read.bars(last_s)) < 0.001
    assert (read.of("time_signature")[-1][1].numerator, read.of("time_signature")[-1][1].denominator) == signature


def test_changes_of_metre(tmp_path):
    downbeats = [0, 4, 8, 11, 14, 19, 23, 31, 35, 44, 48]  # 3/4 twice, 5/4 once, a downbeat not heard, nine beats
    beats = song(0.5 * np.arange(52), downbeats)
    read = written(tmp_path, beats, notes_in(25.0))
    found = [(tick // read.quarter, message.numerator) for tick, message in read.of("time_signature")]
    assert found == [(0, 4), (8, 3), (14, 5), (19, 4), (39, 5), (44, 4)]
    assert far(beats.times_s[downbeats], read.bars(26.0)) < 0.001
    assert len(read.of("set_tempo")) == 1


def test_even_bars_among_those_of_seven_eighths_are_in_quarters(tmp_path):
    downbeats = [0, 7, 15, 21, 28]
    beats = song(0.25 * np.arange(35), downbeats, (7, 8), 7)
    read = written(tmp_path, beats, notes_in(8.0))
    signatures = [(message.numerator, message.denominator) for _, message in read.of("time_signature")]
    assert signatures == [(7, 8), (4, 4), (3, 4), (7, 8)]
    assert [message.clocks_per_click for _, message in read.of("time_signature")] == [12, 24, 24, 12]
    assert far(beats.times_s[downbeats], read.bars(8.0)) < 0.001


@pytest.mark.parametrize("seed", range(3))
def test_a_drifting_song_keeps_its_notes_and_its_beats(tmp_path, seed):
    beats = drifting(seed=seed)
    notes = notes_in(190.0, seed)
    read = written(tmp_path, beats, notes)
    last_s = beats.times_s[-1] + 0.01
    assert far(beats.times_s, read.beats(last_s)) < BEAT_OFF_S
    assert far(beats.times_s[beats.downbeats], read.bars(last_s)) < BEAT_OFF_S
    assert np.abs(read.starts_s() - [note.start_s for note in notes.notes]).max() <= HALF_TICK_S
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    heard = sorted(note.start for note in midi.instruments[0].notes)
    assert np.abs(np.array(heard) - [note.start_s for note in notes.notes]).max() <= HALF_TICK_S
    assert len(read.of("set_tempo")) < len(beats.times_s) / 2


@pytest.mark.parametrize("drifts", [False, True])
def test_nothing_adds_up_over_half_an_hour(tmp_path, drifts):
    beats = drifting(1800.0) if drifts else even(0.4, bpm=127.0 + 1 / 3, n_beats=3700)
    notes = notes_in(1795.0, count=4000)
    read = written(tmp_path, beats, notes)
    late = slice(-200, None)
    assert far(beats.times_s[late], read.beats(1900.0)) < BEAT_OFF_S
    assert np.abs(read.starts_s() - [note.start_s for note in notes.notes]).max() <= HALF_TICK_S
    assert drifts or len(read.of("set_tempo")) == 3


def test_slow_and_long_songs_choose_another_resolution(tmp_path):
    slow = written(tmp_path, even(0.0, bpm=35.0), notes_in(100.0))
    assert slow.quarter == 1920
    notes = notes_in(7200.0, count=1000)
    long = written(tmp_path, even(0.0, bpm=180.0, n_beats=21_600), notes)
    assert long.quarter == 240
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "song.mid"))
    assert midi.get_end_time() == pytest.approx(max(note.end_s for note in notes.notes), abs=0.001)


def test_beats_without_bars_give_tempos_and_no_time_signature(tmp_path):
    beats = even(0.3, bpm=100.0)
    unsure = Beats(beats.times_s, np.zeros(0, dtype=np.int64), None, None, 100.0, 0.9, 0.1, steady=True)
    read = written(tmp_path, unsure, notes_in(30.0))
    assert not read.of("time_signature")
    assert "Bars not detected" in read.of("text")[0][1].text
    assert far(unsure.times_s, read.beats(40.0)) < 0.001
    assert read.of("set_tempo")[-1][1].tempo == 600_000


def test_beats_before_the_file_are_left_out(tmp_path):
    times = -1.3 + 0.5 * np.arange(50)
    beats = song(times, np.arange(1, 50, 4))
    read = written(tmp_path, beats, notes_in(20.0))
    inside = times > 0
    assert far(times[inside], read.beats(30.0)) < 0.001
    assert far(times[[d for d in range(1, 50, 4) if times[d] > 0]], read.bars(30.0)) < 0.001


def test_too_few_beats_are_none(tmp_path):
    read = written(tmp_path, song([-3.0, 0.5], [0]), notes_in(5.0))
    assert [message.tempo for _, message in read.of("set_tempo")] == [500_000]
    assert not read.of("time_signature")


@pytest.mark.parametrize("fifths", range(-6, 6))
@pytest.mark.parametrize("minor", [False, True])
def test_every_key_is_a_valid_key_signature(tmp_path, fifths, minor):
    path = tmp_path / "song.mid"
    write_midi([notes_in(5.0)], path, keys=[KeySpan(0.0, 5.0, Key(fifths, minor), 0.9)])
    (signature,) = pretty_midi.PrettyMIDI(str(path)).key_signature_changes
    assert signature.time == 0.0
    tonic = Key(fifths, minor).tonic
    assert signature.key_number == tonic + 12 * minor


def test_a_change_of_key_stands_at_a_bar_line(tmp_path):
    beats = even(0.0, bpm=120.0)
    spans = [KeySpan(0.0, 16.3, Key(0, minor=False), 0.9), KeySpan(16.3, 30.0, Key(2, minor=False), 0.8)]
    read = written(tmp_path, beats, notes_in(30.0), keys=spans)
    found = [(tick / read.quarter, message.key) for tick, message in read.of("key_signature")]
    assert found == [(0, "C"), (32, "D")]


def test_the_same_song_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.mid", tmp_path / "b.mid"
    for path in (first, second):
        write_midi([notes_in(100.0)], path, beats=drifting(), keys=[KeySpan(0.0, 9.0, Key(-3, minor=True), 0.7)])
    assert first.read_bytes() == second.read_bytes()
