"""The names that ``stemName`` can have, and which stem of a separation model holds what each names."""

from collections.abc import Mapping, Sequence

from service.api.wording import shown
from service.errors import Invalid

# The stem holds all of what is named, though not only that: a kick is in the drums, beside everything else one hits.
# Pitched percussion, plucked folk instruments and synthetic voices end up in "other", which isolates nothing.
_BY_STEM: Mapping[str, tuple[str, ...]] = {
    "vocals": ("Lead Vocal", "Backing Vocals", "Choir"),
    "drums": (
        "Drum Kit", "Kick", "Snare", "Percussion", "Electronic Drum Kit", "Tambourine", "Shaker", "Cymbals",
        "Hand Clap", "Congas", "Bongos", "Cowbell", "Hi-Hat", "Tabla", "Djembe", "Taiko",
    ),
    "bass": ("Bass", "Synth Bass", "Upright Bass", "Electric Bass", "Double Bass", "Bass Guitar", "808"),
    "guitar": (
        "Electric Guitar", "Acoustic Guitar", "Guitar", "Lead Electric Guitar", "Rhythm Electric Guitar",
        "Distorted Electric Guitar", "Rhythm Acoustic Guitar", "Pedal Steel Guitar", "Lap Steel Guitar", "Lead Guitar",
    ),
    "piano": ("Piano", "Electric Piano", "Digital Piano", "Rhodes"),
}  # fmt: skip
_IN_NO_STEM = (
    "Risers", "String Section", "Synth", "Sound Effects", "Synth Pad", "Brass Section", "Organ", "Synth Keys",
    "Keyboards", "Synth Strings", "Synth Lead", "Woodwinds", "Flute", "Harp", "Trumpet", "Arpeggiator", "Accordion",
    "Fiddle", "Synth Voice", "Violin", "Synth Brass", "Mandolin", "Banjo", "Bells", "Clarinet", "Tenor Saxophone",
    "Trombone", "French Horn", "Glockenspiel", "Cello", "Timpani", "Harmonica", "Marimba", "Vibraphone", "Saxophone",
    "Orchestra", "Horns", "Oboe", "Celesta", "Drone", "Alto Saxophone", "Ukulele", "Harpsichord", "Baritone Saxophone",
    "Xylophone", "Tuba", "Whistle", "Bassoon", "Viola", "Sitar", "Steel Drums", "Piccolo", "Theremin", "Bagpipes",
    "Music Box", "Melodica", "Koto", "Didgeridoo",
)  # fmt: skip

STEM_NAMES: Mapping[str, str | None] = {
    **{name: stem for stem, names in _BY_STEM.items() for name in names},
    **dict.fromkeys(_IN_NO_STEM),
}
"""Every name, with the stem that holds it; None where no model has such a stem."""

_SPELLINGS = {name.casefold(): name for name in STEM_NAMES}


def find_stem(field: str, wanted: str | None, model: str, stems: Sequence[str]) -> tuple[str, str]:
    """The name as it is really spelled, and the stem of the model that holds what it names.

    Args:
        field: what the client calls the field that ``wanted`` came in.
        wanted: a name in any capitals.
        model: the installed separation model, for the message.
        stems: what it gives.

    Raises:
        Invalid: no such name, or none that one of these stems holds; the message lists those that work.
    """
    working = f"With the separation model {model} these work: {_working(stems)}."
    if not wanted or not wanted.strip():
        raise Invalid(f"{field} is required for split_stem_advanced. {working}")
    name = _SPELLINGS.get(wanted.strip().casefold())
    if name is None:
        raise Invalid(f"{field} {shown(wanted)} is no stem name. {working}")
    stem = STEM_NAMES[name]
    if stem is None or stem not in stems:
        raise Invalid(f"{field} {name!r} is in no stem of its own here. {working}")
    return name, stem


def _working(stems: Sequence[str]) -> str:
    groups = [f"in {stem}: {', '.join(names)}" for stem, names in _BY_STEM.items() if stem in stems]
    return "; ".join(groups)
