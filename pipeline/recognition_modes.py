"""What a recording may be taken for; a module of its own, so that naming it loads no network."""

AUTO, SONG = "auto", "song"
MODES: dict[str, str] = {
    AUTO: "listen which of the others it is",
    SONG: "several kinds of instruments: separated, then each stem is written down",
    "instrument": "one instrument that plays pitches, or several of a kind: written down as it is",
    "voice": "someone singing or humming alone: written down as it is",
    "bass": "a bass alone: written down as it is",
    "drums": "drums alone: written down as they are",
}
"""What ``mode`` may be, with a line on each for those who choose."""

STEMS: dict[str, str] = {"instrument": "other", "voice": "vocals", "bass": "bass", "drums": "drums"}
"""The stem that a recording in such a mode is; for the others it is separated."""


def mode_of(stem: str | None) -> str:
    """The mode in which a recording is such a stem; of None, a whole song."""
    return next((mode for mode, one in STEMS.items() if one == stem), SONG)
