"""The families that instruments are told apart by, and the General MIDI programs that stand for them."""

# In the order of the network's outputs: weights are of this list and no other.
FAMILIES = (
    "piano",
    "mallets",
    "organ",
    "guitar",
    "distorted guitar",
    "bass",
    "strings",
    "voice",
    "brass",
    "reeds and pipes",
    "synth lead",
    "synth pad",
)

_FIRST_PROGRAMS = (
    (0, "piano"),
    (8, "mallets"),
    (16, "organ"),
    (24, "guitar"),
    (29, "distorted guitar"),
    (31, "guitar"),
    (32, "bass"),
    (40, "strings"),
    (52, "voice"),
    (55, "strings"),
    (56, "brass"),
    (64, "reeds and pipes"),
    (80, "synth lead"),
    (88, "synth pad"),
    (104, "guitar"),
    (108, "mallets"),
    (109, "reeds and pipes"),
    (110, "strings"),
    (111, "reeds and pipes"),
    (112, "mallets"),
    (120, "synth pad"),
)


def family_of_program(program: int) -> str:
    """The family of a General MIDI program, 0-127."""
    return next(family for first, family in reversed(_FIRST_PROGRAMS) if program >= first)
