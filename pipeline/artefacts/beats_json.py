"""Beats, bars and keys of a song as JSON, for players and practice programs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.analysis.beats import Beats
from pipeline.analysis.key import KeySpan

_TIME_DIGITS = 4
_DIGITS = 3


def write_beats_json(beats: Beats | None, keys: Sequence[KeySpan], path: Path) -> None:
    """Write what is known of a song's time and keys; times in seconds.

    ``{"tempo", "tempoConfidence", "steady", "timeSignature", "barConfidence", "beats": [s], "downbeats": [s],
    "keys": [{"start", "end", "key", "confidence"}]}``; null and empty lists where nothing is sure.

    Raises:
        OSError: the file cannot be written.
    """
    document = {**_time(beats), "keys": [_span(span) for span in keys]}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _time(beats: Beats | None) -> dict[str, Any]:
    if beats is None:
        return {
            "tempo": None,
            "tempoConfidence": None,
            "steady": None,
            "timeSignature": None,
            "barConfidence": None,
            "beats": [],
            "downbeats": [],
        }
    times_s = beats.times_s.round(_TIME_DIGITS)
    return {
        "tempo": round(beats.bpm, _DIGITS),
        "tempoConfidence": round(beats.confidence, _DIGITS),
        "steady": beats.steady,
        "timeSignature": beats.time_signature and "{}/{}".format(*beats.time_signature),
        "barConfidence": round(beats.downbeat_confidence, _DIGITS),
        "beats": times_s.tolist(),
        "downbeats": times_s[beats.downbeats].tolist(),
    }


def _span(span: KeySpan) -> dict[str, Any]:
    return {
        "start": round(span.start_s, _TIME_DIGITS),
        "end": round(span.end_s, _TIME_DIGITS),
        "key": span.key.name,
        "confidence": round(span.confidence, _DIGITS),
    }
