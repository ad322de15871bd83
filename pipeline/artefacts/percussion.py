"""General MIDI's percussion keys: their names (General MIDI 1, percussion key map), and how the score writes them."""

from dataclasses import dataclass

KEY_NAMES = {
    35: "Acoustic Bass Drum",
    36: "Bass Drum",
    37: "Side Stick",
    38: "Snare Drum",
    39: "Hand Clap",
    40: "Electric Snare",
    41: "Low Floor Tom",
    42: "Closed Hi-Hat",
    43: "High Floor Tom",
    44: "Pedal Hi-Hat",
    45: "Low Tom",
    46: "Open Hi-Hat",
    47: "Low-Mid Tom",
    48: "Hi-Mid Tom",
    49: "Crash Cymbal",
    50: "High Tom",
    51: "Ride Cymbal",
    52: "Chinese Cymbal",
    53: "Ride Bell",
    54: "Tambourine",
    55: "Splash Cymbal",
    56: "Cowbell",
    57: "Crash Cymbal 2",
    58: "Vibraslap",
    59: "Ride Cymbal 2",
    60: "High Bongo",
    61: "Low Bongo",
    62: "Mute High Conga",
    63: "Open High Conga",
    64: "Low Conga",
    65: "High Timbale",
    66: "Low Timbale",
    67: "High Agogo",
    68: "Low Agogo",
    69: "Cabasa",
    70: "Maracas",
    71: "Short Whistle",
    72: "Long Whistle",
    73: "Short Guiro",
    74: "Long Guiro",
    75: "Claves",
    76: "High Wood Block",
    77: "Low Wood Block",
    78: "Mute Cuica",
    79: "Open Cuica",
    80: "Mute Triangle",
    81: "Open Triangle",
}


def key_name(key: int) -> str:
    """Name of a percussion key; keys outside the standard's map are named by their number."""
    return KEY_NAMES.get(key, f"Percussion {key}")


@dataclass(frozen=True, slots=True)
class StaffPlace:
    """Where and how a stroke is written on a five-line staff with a percussion clef.

    Attributes:
        step, octave: the place, named as in a treble clef (F4 is the lowest space, C5 the third).
        notehead: MusicXML's name of it.
        foot: played with a foot, so written with its stem down, in the lower voice.
    """

    step: str
    octave: int
    notehead: str = "normal"
    foot: bool = False


# The Percussive Arts Society's guide to standardised drumset notation (Weinberg, 1998), as notation programs have it.
_PLACES = {
    35: StaffPlace("E", 4, foot=True),
    36: StaffPlace("F", 4, foot=True),
    37: StaffPlace("C", 5, "x"),
    38: StaffPlace("C", 5),
    39: StaffPlace("C", 5, "x"),
    40: StaffPlace("C", 5),
    41: StaffPlace("G", 4),
    42: StaffPlace("G", 5, "x"),
    43: StaffPlace("A", 4),
    44: StaffPlace("D", 4, "x", foot=True),
    45: StaffPlace("B", 4),
    46: StaffPlace("G", 5, "circle-x"),
    47: StaffPlace("D", 5),
    48: StaffPlace("E", 5),
    49: StaffPlace("A", 5, "x"),
    50: StaffPlace("F", 5),
    51: StaffPlace("F", 5, "x"),
    52: StaffPlace("C", 6, "x"),
    53: StaffPlace("F", 5, "diamond"),
    55: StaffPlace("B", 5, "x"),
    57: StaffPlace("B", 5, "x"),
    59: StaffPlace("F", 5, "x"),
}
_OTHER = StaffPlace("B", 4, "triangle")


def staff_place(key: int) -> StaffPlace:
    """Where a percussion key is written; those without a place of their own share the middle line."""
    return _PLACES.get(key, _OTHER)
