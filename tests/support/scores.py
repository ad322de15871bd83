"""Checks MusicXML strictly: what notation programs rely on in every measure."""

import xml.etree.ElementTree as ET
from collections import defaultdict
from fractions import Fraction

_TYPES = {"whole": Fraction(4), "half": Fraction(2), "quarter": Fraction(1), "eighth": Fraction(1, 2)}
_TYPES["16th"] = Fraction(1, 4)


def check_score(root: ET.Element) -> None:
    """Every measure of every part is filled by one or two voices, whose ties, tuplets and beams are whole."""
    parts = root.findall("part")
    listed = [part.attrib["id"] for part in root.findall("part-list/score-part")]
    assert [part.attrib["id"] for part in parts] == listed
    assert len({len(part.findall("measure")) for part in parts}) == 1
    for part in parts:
        ties: dict[tuple[str, object], int] = {}
        begin, ticks = 0, 0
        for index, measure in enumerate(part.findall("measure")):
            assert measure.attrib["number"] == str(index + 1)
            time = measure.find("attributes/time")
            if time is not None:
                ticks = 48 * int(time.findtext("beats", "")) // int(time.findtext("beat-type", ""))
            _check_measure(measure, begin, ticks, ties)
            begin += ticks
        assert not ties, "a tie leads nowhere"


def _check_measure(measure: ET.Element, begin: int, bar: int, ties: dict[tuple[str, object], int]) -> None:
    at, chord_at = 0, 0
    lengths: defaultdict[str, int] = defaultdict(int)
    open_tuplet: dict[str, bool] = defaultdict(bool)
    beams: defaultdict[tuple[str, str], bool] = defaultdict(bool)
    for element in measure:
        if element.tag == "backup":
            at -= int(element.findtext("duration", "0"))
            assert at == 0
        if element.tag != "note":
            continue
        ticks, voice = int(element.findtext("duration", "0")), element.findtext("voice", "")
        assert ticks > 0
        if element.find("chord") is None:
            chord_at, at = at, at + ticks
            lengths[voice] += ticks
        else:
            assert at == chord_at + ticks, "tones of a chord differ in length"
        _check_value(element, ticks, bar)
        _check_ties(element, voice, begin + chord_at, ticks, ties)
        for tuplet in element.findall("notations/tuplet"):
            assert open_tuplet[voice] == (tuplet.get("type") == "stop")
            open_tuplet[voice] = not open_tuplet[voice]
        for beam in element.findall("beam"):
            level = (voice, beam.attrib["number"])
            assert beams[level] == (beam.text in ("continue", "end")), "a beam is broken"
            beams[level] = beam.text in ("begin", "continue")
    assert at == bar
    assert lengths
    assert set(lengths.values()) == {bar}
    assert set(lengths) <= {"1", "2"}
    assert not any(open_tuplet.values())
    assert not any(beams.values())


def _check_value(note: ET.Element, ticks: int, bar: int) -> None:
    """The value written is as long as the duration says."""
    name = note.findtext("type")
    if name is None:
        assert note.find("rest[@measure='yes']") is not None
        assert ticks == bar
        return
    dotted = Fraction(3, 2) if note.find("dot") is not None else Fraction(1)
    triplet = Fraction(2, 3) if note.find("time-modification") is not None else Fraction(1)
    assert _TYPES[name] * dotted * triplet * 12 == ticks


def _check_ties(note: ET.Element, voice: str, at: int, ticks: int, ties: dict[tuple[str, object], int]) -> None:
    what = tuple(element.text for element in (*note.findall("pitch/*"), *note.findall("unpitched/*")))
    instrument = note.find("instrument")
    key = (voice, (what, instrument.get("id") if instrument is not None else None))
    kinds = [tie.get("type") for tie in note.findall("tie")]
    assert kinds == [tied.get("type") for tied in note.findall("notations/tied")]
    if "stop" in kinds:
        assert ties.pop(key) == at, "a tie does not reach the next tone"
    if "start" in kinds:
        ties[key] = at + ticks
