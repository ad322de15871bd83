"""Which transcribers may be asked for; a module of its own, so that naming one loads no network."""

from pipeline.errors import UnknownTranscriber

AUTO = "auto"
BASIC_PITCH = "basic-pitch"
TRANSCRIBERS: dict[str, str] = {
    AUTO: "each stem by the transcriber made for it",
    BASIC_PITCH: "every pitched stem by Basic Pitch, drums by the drum transcriber",
}
"""What ``transcriber`` may be, with a line on each for those who choose."""


def check_transcriber(name: str) -> None:
    """Refuse what is not in :data:`TRANSCRIBERS`.

    Raises:
        UnknownTranscriber: names the choices.
    """
    if name not in TRANSCRIBERS:
        raise UnknownTranscriber(f"There is no transcriber {name!r}. Choose one of: {', '.join(TRANSCRIBERS)}.")
