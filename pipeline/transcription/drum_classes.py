"""The strokes that are told apart, in the order of the network's outputs, and their General MIDI keys."""

# Strokes of one family exclude each other: each has at most one at a time, of its most probable class.
FAMILIES: dict[str, tuple[str, ...]] = {
    "kick": ("kick",),
    "snare": ("snare", "side stick"),
    "toms": ("low tom", "mid tom", "high tom"),
    "hi-hat": ("closed hat", "pedal hat", "open hat"),
    "cymbals": ("crash", "ride"),
}
CLASSES = tuple(name for classes in FAMILIES.values() for name in classes)
KEYS = {
    "kick": 36,
    "snare": 38,
    "side stick": 37,
    "low tom": 41,
    "mid tom": 45,
    "high tom": 48,
    "closed hat": 42,
    "pedal hat": 44,
    "open hat": 46,
    "crash": 49,
    "ride": 51,
}
# A tom below 100 Hz is a floor tom, above 150 Hz the smallest one of a usual set of three.
LOW_TOM_BELOW_HZ = 100.0
HIGH_TOM_ABOVE_HZ = 150.0


def tom_class(pitch_hz: float) -> str:
    """Low, mid or high by what the tom is tuned to."""
    if pitch_hz < LOW_TOM_BELOW_HZ:
        return "low tom"
    return "high tom" if pitch_hz > HIGH_TOM_ABOVE_HZ else "mid tom"
