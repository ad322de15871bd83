"""Sheet music: valid for every song, right for known ones, and honest about what was estimated."""

import base64
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

import mido
import numpy as np
import pytest
import verovio
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.beats import Beats, estimate_beats
from pipeline.analysis.key import Key, KeySpan
from pipeline.artefacts.score import write_score
from pipeline.notes import Instrument, Note
from support.composed import composed_song, random_onsets
from support.scores import check_score


def metre(per_bar: int, signature: tuple[int, int], downbeats: Sequence[int] | None = None) -> Beats:
    """A beat every half second from 0 s on."""
    bars = np.arange(0, 400, per_bar) if downbeats is None else np.array(downbeats)
    return Beats(np.arange(0, 400) * 0.5, bars, per_bar, signature, 120.0, 1.0, 1.0, steady=True)


GRID = metre(4, (4, 4))
GRIDS = {
    "no beats": None,
    "no bars": Beats(np.arange(0, 400) * 0.5, np.zeros(0, dtype=np.int64), None, None, 120.0, 1.0, 0.1, steady=True),
    "4/4": GRID,
    "3/4": metre(3, (3, 4)),
    "5/4": metre(5, (5, 4)),
    "6/8": metre(2, (6, 8)),
    "9/8": metre(3, (9, 8)),
    "12/8": metre(4, (12, 8)),
    "5/8": metre(5, (5, 8)),
    "7/8": metre(7, (7, 8)),
    "4/4, 3/4, 5/4": metre(4, (4, 4), [2, 6, 9, 12, 17, 21]),
    "6/8, 9/8": metre(2, (6, 8), [1, 3, 5, 8, 11, 13]),
    "7/8, 4/4, 3/4, 5/8, 2/4, 5/4": metre(7, (7, 8), [0, 7, 15, 21, 26, 30, 40, 47]),
}


ReadScore = Callable[..., ET.Element]


@pytest.fixture
def read_score(tmp_path: Path) -> ReadScore:
    """Writes a score, checks it, and gives its root."""

    def read(instruments: Sequence[Instrument], grid: Beats | None = None, key: KeySpan | None = None) -> ET.Element:
        write_score(instruments, tmp_path / "score.musicxml", beats=grid, key=key)
        root = ET.parse(tmp_path / "score.musicxml").getroot()  # noqa: S314 (our own file)
        check_score(root)
        return root

    return read


def part(*notes: Note, program: int = 73, name: str = "Flute") -> Instrument:
    return Instrument(name, program, False, "other", notes)


def beats(pitch: int, start: float, end: float) -> Note:
    """A note on the grid above, in beats."""
    return Note(pitch, start * 0.5, end * 0.5, 0.7)


def written(root: ET.Element, voice: str = "1", number: int = 1) -> list[list[str]]:
    """The values of a voice, by measure: ``C4 quarter``, ``rest half``; ``~`` is tied on, ``+`` a tone of a chord."""
    out = []
    for measure in root.findall(f"part[@id='P{number}']/measure"):
        values = []
        for note in measure.findall("note"):
            if note.findtext("voice") != voice:
                continue
            pitch = "".join(("#" if note.findtext("pitch/alter") == "1" else "", note.findtext("pitch/octave", "")))
            what = "rest" if note.find("rest") is not None else note.findtext("pitch/step", "") + pitch
            dots = "." * len(note.findall("dot"))
            triplet = "3" if note.find("time-modification") is not None else ""
            tied = "~" if "start" in [tie.get("type") for tie in note.findall("tie")] else ""
            chord = "+" if note.find("chord") is not None else ""
            values.append(f"{chord}{what} {note.findtext('type', 'measure')}{dots}{triplet}{tied}")
        out.append(values)
    return out


SONGS = {
    "even": composed_song(120),
    "shuffle": composed_song(110, swing=0.667),
    "slackening": composed_song(96, slowing=0.08),
    "no beat": random_onsets(30, 6, 1),
    "drums alone": composed_song(150)[:1],
    "none": [],
}


@pytest.mark.parametrize(
    ("song", "grid"), [*((song, "no beats") for song in SONGS), *(("even", name) for name in GRIDS), ("none", "7/8")]
)
def test_it_is_valid_and_verovio_reads_it_without_complaint(
    song: str, grid: str, read_score: ReadScore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read_score(SONGS[song], GRIDS[grid])
    toolkit = verovio.toolkit()
    assert toolkit.loadFile(str(tmp_path / "score.musicxml"))
    assert toolkit.getPageCount() >= 1
    assert capfd.readouterr().err == ""


note_lists = st.lists(
    st.builds(
        lambda pitch, start, length, velocity: Note(pitch, start, start + length, velocity),
        st.integers(0, 127), st.floats(0, 12), st.floats(0.01, 6), st.floats(0, 1),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    notes=note_lists, program=st.sampled_from([0, 4, 25, 33, 48, 73]), is_drum=st.booleans(),
    grid=st.sampled_from(sorted(GRIDS)),
)  # fmt: skip
def test_any_notes_make_a_valid_score(
    tmp_path_factory: pytest.TempPathFactory, notes: list[Note], program: int, is_drum: bool, grid: str
) -> None:
    notes.sort(key=lambda note: (note.start_s, note.pitch))
    path = tmp_path_factory.mktemp("any") / "score.musicxml"
    write_score([Instrument("Any", program, is_drum, "other", tuple(notes))], path, beats=GRIDS[grid])
    check_score(ET.parse(path).getroot())  # noqa: S314 (our own file)


def test_another_program_plays_the_notes_of_the_song(tmp_path: Path) -> None:
    song = composed_song(120, jitter_s=0.005, start_s=1.0)
    grid = estimate_beats(song)
    song = song[1:3]  # bass and chords: nothing of theirs needs to be simplified
    write_score(song, tmp_path / "score.musicxml", beats=grid)
    toolkit = verovio.toolkit()
    toolkit.loadFile(str(tmp_path / "score.musicxml"))
    midi = mido.MidiFile(file=io.BytesIO(base64.b64decode(toolkit.renderToMIDI())))
    heard = set()
    for track in midi.tracks:
        at = 0
        for message in track:
            at += message.time
            if message.type == "note_on" and message.velocity:
                heard.add((round(at / midi.ticks_per_beat * 4), message.note))
    meant = {(round((note.start_s - 1.0) * 8), note.pitch) for one in song for note in one.notes}
    assert heard == meant


def test_plain_values(read_score: ReadScore) -> None:
    tune = [beats(72, 0, 1), beats(74, 1, 1.5), beats(76, 1.5, 2), beats(77, 2, 4), beats(79, 4, 5.5)]
    assert written(read_score([part(*tune)], GRID)) == [
        ["C5 quarter", "D5 eighth", "E5 eighth", "F5 half"],
        ["G5 quarter.", "rest eighth", "rest half"],
    ]


def test_ties_across_the_barline_and_chords(read_score: ReadScore) -> None:
    tune = [beats(72, 0, 3), beats(74, 3, 6), beats(77, 3, 6), beats(72, 8, 12)]
    assert written(read_score([part(*tune)], GRID)) == [
        ["C5 half.", "D5 quarter~", "+F5 quarter~"],
        ["D5 half", "+F5 half", "rest half"],
        ["C5 whole"],
    ]


def test_sloppy_notes_are_written_plainly(read_score: ReadScore) -> None:
    tune = [Note(72, 0.02, 0.44, 0.7), Note(74, 0.49, 0.93, 0.7), Note(76, 1.01, 1.98, 0.7)]
    assert written(read_score([part(*tune)], GRID)) == [["C5 quarter", "D5 quarter", "E5 half"]]


def test_triplets_only_where_they_are_played(read_score: ReadScore) -> None:
    third = 1 / 3
    tune = [beats(72 + index, index * third, (index + 1) * third) for index in range(9)]
    tune += [beats(72, 3 + index / 4, 3.25 + index / 4) for index in range(4)]
    (measure,) = written(read_score([part(*tune)], GRID))
    assert [value.split()[1] for value in measure] == ["eighth3"] * 9 + ["16th"] * 4


def test_swing_on_an_unsure_grid_makes_no_triplets(read_score: ReadScore) -> None:
    tune = [beats(72, index + offset, index + offset + 0.3) for index in range(8) for offset in (0, 2 / 3)]
    values = [value for measure in written(read_score([part(*tune)])) for value in measure]
    assert not any("3" in value.split()[1] for value in values)


def test_a_held_tone_gets_a_voice_of_its_own(read_score: ReadScore) -> None:
    tones = [beats(60, 0, 4), *(beats(pitch, at, at + 1) for at, pitch in enumerate((72, 74, 76, 77)))]
    root = read_score([part(*sorted(tones, key=lambda note: (note.start_s, note.pitch)))], GRID)
    assert written(root, "1") == [["C5 quarter", "D5 quarter", "E5 quarter", "F5 quarter"]]
    assert written(root, "2") == [["C4 whole"]]


def test_a_keyboard_has_two_staves(read_score: ReadScore) -> None:
    hands = [beats(48, 0, 2), beats(72, 0, 1), beats(74, 1, 2), beats(43, 2, 4), beats(76, 2, 4)]
    root = read_score([part(*hands, program=0, name="Acoustic Grand Piano")], GRID)
    assert written(root, "1") == [["C5 quarter", "D5 quarter", "E5 half"]]
    assert written(root, "2") == [["C3 half", "G2 half"]]
    assert {(note.findtext("voice"), note.findtext("staff")) for note in root.iter("note")} == {("1", "1"), ("2", "2")}
    assert [clef.findtext("sign") for clef in root.iter("clef")] == ["G", "F"]


def test_drums_are_unpitched_percussion(read_score: ReadScore) -> None:
    strokes = tuple(Note(key, at * 0.5, at * 0.5 + 0.1, 0.8) for at, key in enumerate((36, 38, 42, 49)))
    root = read_score([Instrument("Drums", 0, True, "drums", strokes)], GRID)
    assert root.findtext("part/measure/attributes/clef/sign") == "percussion"
    assert root.find(".//pitch") is None
    by_id = {one.attrib["id"]: one for one in root.iter("midi-instrument")}
    names = {one.attrib["id"]: one.findtext("instrument-name") for one in root.iter("score-instrument")}
    heard = []
    for note in root.iter("note"):
        instrument = note.find("instrument")
        if instrument is not None:
            midi = by_id[instrument.attrib["id"]]
            assert midi.findtext("midi-channel") == "10"
            heard.append((int(midi.findtext("midi-unpitched", "0")) - 1, names[instrument.attrib["id"]]))
            assert note.findtext("unpitched/display-step") in "ABCDEFG"
    assert sorted(heard) == [(36, "Bass Drum"), (38, "Snare Drum"), (42, "Closed Hi-Hat"), (49, "Crash Cymbal")]


@pytest.mark.parametrize(
    ("pitch", "program", "clef"),
    [(30, 33, "F4-1"), (50, 42, "F40"), (70, 73, "G20"), (96, 72, "G21"), (50, 25, "G2-1")],
)
def test_clefs_by_range(pitch: int, program: int, clef: str, read_score: ReadScore) -> None:
    root = read_score([part(beats(pitch, 0, 4), program=program)], GRID)
    signs = (root.findtext(f".//clef/{tag}", "0") for tag in ("sign", "line", "clef-octave-change"))
    assert "".join(signs) == clef
    assert written(root)[0][0].endswith("whole")


def test_parts_carry_their_programs_on_channels_of_their_own(read_score: ReadScore) -> None:
    many = [part(beats(60, 0, 1), program=number, name=f"Voice {number}") for number in range(40, 58)]
    root = read_score(many, GRID)
    assert [one.text for one in root.iter("midi-program")] == [str(number + 1) for number in range(40, 58)]
    channels = [one.text for one in root.iter("midi-channel")]
    assert "10" not in channels
    assert len(set(channels)) == 15


def test_equal_names_are_told_apart_and_any_name_is_well_formed(read_score: ReadScore) -> None:
    twins = [Instrument("<Voice> & \x00", 53, False, stem, (beats(60, 0, 1),)) for stem in ("lead", "backing")]
    names = [name.text for name in read_score(twins, GRID).iter("part-name")]
    assert names == ["<Voice> &  (lead)", "<Voice> &  (backing)"]


def test_what_is_estimated_is_said(read_score: ReadScore) -> None:
    c_major = KeySpan(0.0, 40.0, Key(0, minor=False), 0.9)
    root = read_score(composed_song(96), estimate_beats(composed_song(96)), c_major)
    words = " ".join(words.text or "" for words in root.iter("words"))
    assert words == "Tempo estimated from the notes; metre estimated; key estimated."
    assert root.findtext(".//per-minute") == "ca. 96"
    sound = root.find("part/measure/direction/sound")
    assert sound is not None
    assert float(sound.attrib["tempo"]) == pytest.approx(96, rel=0.005)
    assert root.findtext("part/measure/attributes/key/fifths") == "0"


def test_what_is_not_known_is_said(read_score: ReadScore) -> None:
    root = read_score([part(*(Note(60 + at, at**1.3, at**1.3 + 1, 0.7) for at in range(12)))])
    words = " ".join(words.text or "" for words in root.iter("words"))
    assert words == ("Tempo not detected; the grid is 120 per minute; 4/4 assumed; no key signature, key not detected.")
    assert root.findtext(".//per-minute") == "120"


def test_a_slackening_tempo_is_told_bar_by_bar(read_score: ReadScore) -> None:
    song = composed_song(120, slowing=0.08, duration_s=60.0)
    root = read_score(song, estimate_beats(song))
    tempos = [float(sound.attrib["tempo"]) for sound in root.iter("sound")][1:]
    assert len(tempos) >= 4
    assert tempos == sorted(tempos, reverse=True)


def test_accidentals_are_shown_once_a_measure(read_score: ReadScore) -> None:
    in_c = [beats(60 + step, 8 + at, 9 + at) for at, step in enumerate((0, 4, 7, 12, 0, 5, 9, 12, 0, 4, 7, 0))]
    tune = [beats(66, 0, 1), beats(66, 1, 2), beats(65, 2, 3), beats(66, 3, 5), beats(66, 6, 7), *in_c]
    root = read_score([part(*tune)], GRID)
    shown = [[note.findtext("accidental") for note in measure.findall("note")] for measure in root.iter("measure")]
    assert shown[0] == ["sharp", None, "natural", "sharp"]
    assert shown[1] == [None, None, "sharp", None]  # tied over the barline, so said again only for the next


def test_the_same_notes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.musicxml", "b.musicxml"):
        write_score(composed_song(100), tmp_path / name)
    assert (tmp_path / "a.musicxml").read_bytes() == (tmp_path / "b.musicxml").read_bytes()


@pytest.mark.parametrize(
    ("beats_of", "bars"),
    [
        (
            metre(3, (3, 4)),
            [
                ["C5 half", "D5 quarter"],
                [
                    "E5 half.",
                ],
                ["F5 quarter", "rest quarter", "rest quarter"],
            ],
        ),
        (
            metre(5, (5, 4)),
            [["C5 half", "D5 quarter", "E5 half"], ["E5 quarter", "F5 quarter", "rest quarter", "rest half"]],
        ),
    ],
    ids=["3/4", "5/4"],
)
def test_other_metres_of_quarters(read_score: ReadScore, beats_of: Beats, bars: list[list[str]]) -> None:
    tune = [beats(72, 0, 2), beats(74, 2, 3), beats(76, 3, 6), beats(77, 6, 7)]
    root = read_score([part(*tune)], beats_of)
    assert root.findtext("part/measure/attributes/time/beats") == str(beats_of.beats_per_bar)
    assert len(written(root)) == len(bars)
    assert [sorted(one.split()[0] for one in bar) for bar in written(root)] == [
        sorted(one.split()[0] for one in bar) for bar in bars
    ]


def test_six_eight_is_written_in_dotted_quarters(read_score: ReadScore) -> None:
    third = 1 / 3
    tune = [
        beats(72, 0, 1),
        *(beats(pitch, 1 + at * third, 1 + (at + 1) * third) for at, pitch in enumerate((74, 76, 77))),
        beats(79, 2, 4),
    ]
    root = read_score([part(*tune)], metre(2, (6, 8)))
    assert root.findtext("part/measure/attributes/time/beat-type") == "8"
    assert written(root) == [
        ["C5 quarter.", "D5 eighth", "E5 eighth", "F5 eighth"],
        ["G5 half."],
    ]


def test_seven_eight(read_score: ReadScore) -> None:
    tune = [beats(72 + at, at, at + 1) for at in range(7)] + [beats(60, 7, 9)]
    root = read_score([part(*tune)], metre(7, (7, 8)))
    first, second = root.findall("part/measure")
    assert [note.findtext("type") for note in first.findall("note")] == ["eighth"] * 7
    assert sum(int(note.findtext("duration", "0")) for note in second.findall("note")) == 42


def test_a_change_of_metre_is_written_where_it_comes(read_score: ReadScore) -> None:
    tune = [beats(72, at, at + 1) for at in range(11)]
    root = read_score([part(*tune)], metre(4, (4, 4), [0, 4, 7, 11]))
    assert [measure.findtext("attributes/time/beats") for measure in root.iter("measure")] == ["4", "3", "4"]


@pytest.mark.parametrize(
    ("signature", "downbeats", "metres"),
    [
        ((7, 8), [0, 7, 15, 22], ["7/8", "4/4", "7/8"]),
        ((5, 8), [0, 5, 15, 19], ["5/8", "5/4", "2/4"]),
    ],
)
def test_even_bars_among_odd_ones_lose_no_note(
    read_score: ReadScore, signature: tuple[int, int], downbeats: list[int], metres: list[str]
) -> None:
    last = downbeats[3]
    root = read_score([part(*(beats(72, at, at + 1) for at in range(last)))], metre(signature[0], signature, downbeats))
    changes = root.findall("part/measure/attributes/time")
    assert [f"{time.findtext('beats')}/{time.findtext('beat-type')}" for time in changes] == metres
    assert sum(len(bar) for bar in written(root)) == last
