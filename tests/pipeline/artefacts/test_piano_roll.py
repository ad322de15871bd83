"""The picture of the notes: well-formed, said in words, small, and every note where it belongs."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pipeline.artefacts.piano_roll import MARGIN_LEFT_PX, MAX_ROLL_PX, PX_PER_S, ROW_PX, write_piano_roll
from pipeline.notes import Instrument, Note
from support.composed import composed_song

SVG = "{http://www.w3.org/2000/svg}"


def drawn(instruments: list[Instrument], duration_s: float, path: Path) -> ET.Element:
    write_piano_roll(instruments, duration_s, path)
    return ET.parse(path).getroot()  # noqa: S314 (our own file)


def voice(*notes: Note, name: str = "Voice Oohs") -> Instrument:
    return Instrument(name, 53, False, "vocals", notes)


def bars(root: ET.Element, colour: str) -> list[tuple[float, float, float]]:
    """Left edge, top and width of every note of a colour."""
    found = []
    for path in root.iter(f"{SVG}path"):
        if path.get("class", "").startswith(colour):
            found += re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", path.attrib["d"])
    return sorted((float(x), float(y), float(width)) for x, y, width in found)


def texts(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_notes_are_at_their_times_and_pitches(tmp_path: Path) -> None:
    root = drawn([voice(Note(60, 1.0, 2.0, 0.9), Note(72, 2.5, 2.75, 0.9))], 10.0, tmp_path / "roll.svg")
    (c4, c5) = bars(root, "i0")
    assert c4[0] == MARGIN_LEFT_PX + 1.0 * PX_PER_S
    assert c5[0] == MARGIN_LEFT_PX + 2.5 * PX_PER_S
    assert c4[2] == pytest.approx(1.0 * PX_PER_S, abs=0.5)
    assert c4[1] - c5[1] == 12 * ROW_PX  # higher is further up


def test_louder_notes_are_more_opaque(tmp_path: Path) -> None:
    root = drawn([voice(Note(60, 0.0, 1.0, 0.1), Note(60, 2.0, 3.0, 1.0))], 4.0, tmp_path / "roll.svg")
    style = next(root.iter(f"{SVG}style")).text or ""
    opacity = dict(re.findall(r"\.(v\d)\{fill-opacity:([\d.]+)\}", style))
    quiet, loud = (path.attrib["class"].split()[1] for path in root.iter(f"{SVG}path") if "i0" in path.get("class", ""))
    assert float(opacity[quiet]) < float(opacity[loud]) == 1.0


def test_it_says_in_words_what_it_shows(tmp_path: Path) -> None:
    root = drawn(composed_song(120, duration_s=65.0), 65.0, tmp_path / "roll.svg")
    assert root.get("role") == "img"
    labels = {root.find(f"{SVG}{name}").get("id") for name in ("title", "desc")}  # type: ignore[union-attr]
    assert set(root.attrib["aria-labelledby"].split()) == labels
    assert "Electric Bass (finger) (bass): " in (root.findtext(f"{SVG}desc") or "")
    said = texts(root)
    assert {"Drums (drums)", "Voice Oohs (vocals)", "C4", "0:00", "1:00"} <= set(said)
    assert {"Bass Drum", "Snare Drum", "Closed Hi-Hat", "Crash Cymbal"} <= set(said)
    assert "Ride Cymbal" not in said  # lanes are only for what is played


def test_both_light_and_dark(tmp_path: Path) -> None:
    style = next(drawn([voice(Note(60, 0.0, 1.0, 0.5))], 1.0, tmp_path / "roll.svg").iter(f"{SVG}style")).text or ""
    assert "@media(prefers-color-scheme:dark)" in style


def test_any_name_is_well_formed(tmp_path: Path) -> None:
    name = 'Гітара <& "1st"\x00\x0b\ud800'
    root = drawn([voice(Note(60, 0.0, 1.0, 0.5), name=name)], 1.0, tmp_path / "roll.svg")
    assert 'Гітара <& "1st" (vocals)' in texts(root)


def test_five_thousand_notes_are_small(tmp_path: Path) -> None:
    notes = tuple(Note(40 + i % 50, i * 0.0361, i * 0.0361 + 0.123, i % 10 / 10) for i in range(5000))
    drawn([voice(*notes)], 181.0, tmp_path / "roll.svg")
    assert (tmp_path / "roll.svg").stat().st_size < 200_000


def test_half_an_hour_can_be_drawn_by_browsers(tmp_path: Path) -> None:
    root = drawn([voice(Note(60, 1799.0, 1799.5, 0.5))], 1800.0, tmp_path / "roll.svg")
    assert MAX_ROLL_PX < float(root.attrib["width"]) < 2**15
    assert "29:00" in texts(root)


def test_without_notes_it_says_so(tmp_path: Path) -> None:
    root = drawn([], 10.0, tmp_path / "roll.svg")
    assert "No notes" in texts(root)
    assert root.findtext(f"{SVG}desc") == "No notes in 0:10 of music."


def test_drums_alone(tmp_path: Path) -> None:
    drums = Instrument("Drums", 0, True, "drums", (Note(36, 0.5, 0.6, 0.9), Note(99, 1.0, 1.1, 0.9)))
    said = texts(drawn([drums], 2.0, tmp_path / "roll.svg"))
    assert {"Bass Drum", "Percussion 99"} <= set(said)
    assert not any(re.fullmatch(r"C-?\d", text) for text in said)


def test_many_instruments_share_colours(tmp_path: Path) -> None:
    many = [voice(Note(40 + i, i, i + 1.0, 0.5), name=f"Voice {i}") for i in range(20)]
    root = drawn(many, 21.0, tmp_path / "roll.svg")
    assert sum(len(bars(root, f"i{colour}")) for colour in range(7)) == 20


def test_the_same_notes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        write_piano_roll(composed_song(100), 40.0, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
