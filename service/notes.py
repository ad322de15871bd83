"""Notes as every dialect and the command line write them."""

from typing import Any

import msgspec

from pipeline.notes import Instrument

_TIME_DIGITS = 6
_VELOCITY_DIGITS = 4
_CONFIDENCE_DIGITS = 3


def wire_notes(instrument: Instrument) -> list[dict[str, Any]]:
    """``{"pitch", "start", "end", "velocity", "confidence"}`` for each note: seconds as numbers, the others 0-1."""
    return [
        {
            "pitch": note.pitch,
            "start": round(note.start_s, _TIME_DIGITS),
            "end": round(note.end_s, _TIME_DIGITS),
            "velocity": round(note.velocity, _VELOCITY_DIGITS),
            "confidence": wire_confidence(note.confidence),
        }
        for note in instrument.notes
    ]


def wire_confidence(confidence: float) -> float:
    """As many digits as mean anything."""
    return round(confidence, _CONFIDENCE_DIGITS)


def encoded_notes(instrument: Instrument) -> bytes:
    """The JSON of :func:`wire_notes`."""
    return msgspec.json.encode(wire_notes(instrument))
