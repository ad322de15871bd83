"""What each endpoint asks for, as a kind of task and its parameters; and what the vendor calls it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.conversion.formats import BITS, FORMATS, RATES_HZ
from pipeline.models.catalogue import find
from pipeline.recognition_modes import AUTO, MODES
from pipeline.stem_names import INSTRUMENTAL, VOCALS
from service.api.checks import known_transcriber
from service.api.wording import shown
from service.context import Context
from service.db.models import TaskKind
from service.errors import Invalid
from service.musicgpt.body import Fields

MIN_SPEED, MAX_SPEED = 0.25, 4.0
DEFAULT_BITS = 16
DEFAULT_STEMS = (VOCALS, INSTRUMENTAL)
EXTRACTION_STEMS = (
    *("vocals", "instrumental", "male_vocal", "female_vocal", "lead_vocal", "back_vocal", "bass", "drums", "guitar"),
    *("piano", "keys", "strings", "winds", "rhythm_guitar", "solo_guitar", "acoustic_guitar", "electric_guitar"),
    *("kick_drum", "snare_drum", "toms", "hi_hat", "ride", "crash"),
)
"""Every stem that the vendor's documents name; which of them can be had depends on the separation model."""
_MAX_MS = 10**12  # thirty years: what is longer is a mistake

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint.

    Attributes:
        kind: of the tasks it makes.
        types: what ``byId`` calls it: the spelling that is answered, then others that are accepted.
        label: what webhooks call it.
        completed: their message when all went well.
        params: makes a task's parameters from what was sent.
    """

    kind: TaskKind
    types: tuple[str, ...]
    label: str
    completed: str
    params: Callable[[Fields, Context], Params]


def _audio_to_midi(fields: Fields, _context: Context) -> Params:
    mode = (fields.text("mode") or AUTO).lower()
    if mode not in MODES:
        raise Invalid(f"mode must be one of {', '.join(MODES)}, not {shown(mode)}.", field="mode")
    return {
        "mode": mode,
        "sonify": fields.flag("sonify_midi", default=True),
        "note_events": fields.flag("save_note_events", default=True),
        "transcriber": known_transcriber("transcriber", fields.text("transcriber")),
    }


def _file_convert(fields: Fields, _context: Context) -> Params:
    fields.require("target_format")
    bits = fields.whole("target_bit_depth")
    return {
        **_target(
            "target_format",
            fields.text("target_format"),
            fields.whole("target_sr"),
            DEFAULT_BITS if bits is None else bits,
        ),
        "file_id": uuid.uuid4().hex,
    }


def _extraction(fields: Fields, context: Context) -> Params:
    if fields.names("preprocessing_options"):
        raise Invalid(
            "preprocessing_options: none are offered here; leave it out, or send an empty list.",
            field="preprocessing_options",
        )
    model = context.settings.separation_model
    working = (*find(model).stems, INSTRUMENTAL)
    names = fields.names("stems")
    wanted = list(dict.fromkeys(DEFAULT_STEMS if names is None else map(str.lower, names)))
    if not wanted:
        raise Invalid(f"stems is empty; name some of {', '.join(working)}.", field="stems")
    if other := [name for name in wanted if name not in working]:
        known = "cannot be isolated" if other[0] in EXTRACTION_STEMS else "is no stem"
        raise Invalid(
            f"stems: {shown(other[0])} {known}; the separation model {model} gives {', '.join(working)}.", field="stems"
        )
    return {"stems": wanted, "model": model}


def _key_bpm(_fields: Fields, _context: Context) -> Params:
    return {}


def _cutter(fields: Fields, _context: Context) -> Params:
    fields.require("start_time", "end_time")
    start_ms, end_ms = (_milliseconds(fields, name) for name in ("start_time", "end_time"))
    if end_ms <= start_ms:
        raise Invalid(
            f"end_time must come after start_time: both are in milliseconds, and {end_ms} is not after {start_ms}.",
            field="end_time",
        )
    return {**_output(fields, "output_extension"), "span_ms": [start_ms, end_ms]}


def _speed_changer(fields: Fields, _context: Context) -> Params:
    fields.require("speed_change_factor")
    factor = fields.number("speed_change_factor") or 0.0
    if not MIN_SPEED <= factor <= MAX_SPEED:
        raise Invalid(
            f"speed_change_factor must be {MIN_SPEED:g} to {MAX_SPEED:g}, not {factor:g}.", field="speed_change_factor"
        )
    name = "output_extension" if fields.has("output_extension") else "audio_extension"  # the vendor's client says so
    return {**_output(fields, name), "tempo": factor}


ENDPOINTS: Mapping[str, Endpoint] = {
    "audio_to_midi": Endpoint(
        TaskKind.AUDIO_TO_MIDI, ("AUDIO_TO_MIDI",), "Audio to MIDI", "Audio to Midi Completed", _audio_to_midi
    ),
    "file_convert": Endpoint(
        TaskKind.CONVERSION, ("FILE_CONVERT", "FILE_CONVERSION"), "File Conversion", "File Conversion Completed",
        _file_convert,
    ),
    "Extraction": Endpoint(
        TaskKind.EXTRACTION, ("EXTRACTION", "STEMS_SEPARATION"), "Extraction", "Extraction Completed", _extraction
    ),
    "extract_key_bpm": Endpoint(
        TaskKind.KEY_BPM, ("KEY_BPM_EXTRACTION", "EXTRACT_KEY_BPM"), "Key BPM Extraction",
        "Key BPM Extraction Completed", _key_bpm,
    ),
    "audio_cutter": Endpoint(
        TaskKind.CUT, ("AUDIO_CUTTER",), "Audio Cutter", "Audio Cutter Completed", _cutter
    ),
    "audio_speed_changer": Endpoint(
        TaskKind.SPEED, ("AUDIO_SPEED_CHANGER",), "Audio Speed Changer", "Audio Speed Changer Completed",
        _speed_changer,
    ),
}  # fmt: skip
"""Every endpoint that makes a task, by the last part of its path."""

NOT_OFFERED = (
    *("MusicAI", "Cover", "CoverSong", "TextToSpeech", "VoiceChanger", "SoundGenerator", "sound_generator", "denoise"),
    *(
        "deecho",
        "dereverb",
        "audio_transcribe",
        "audio_mastering",
        "Remix",
        "Extend",
        "Inpaint",
        "SingOverInstrumental",
    ),
    *("remix", "extend", "inpaint", "sing_over_instrumental", "lyrics_generator", "prompt_to_lyrics"),
    *("getAllVoices", "searchVoices"),
)
"""Endpoints of the vendor's that are out of scope, by the last part of their paths."""
NOT_OFFERED_TYPES = (
    *("MUSIC_AI", "COVER", "TEXT_TO_SPEECH", "VOICE_CHANGER", "SOUND_GENERATOR", "DENOISE", "DENOISING", "DEECHO"),
    *("DEVERB", "DEREVERB", "AUDIO_TRANSCRIBE", "AUDIO_MASTERING", "REMIX", "EXTEND", "INPAINT"),
    *("SING_OVER_INSTRUMENTAL", "LYRICS_GENERATOR"),
)
"""What ``byId`` would call their tasks."""

BY_KIND: Mapping[TaskKind, Endpoint] = {endpoint.kind: endpoint for endpoint in ENDPOINTS.values()}
BY_TYPE: Mapping[str, Endpoint] = {name: endpoint for endpoint in ENDPOINTS.values() for name in endpoint.types}


def _milliseconds(fields: Fields, name: str) -> int:
    value = fields.number(name) or 0.0
    if not 0 <= value <= _MAX_MS:
        raise Invalid(f"{name} must be 0 to {_MAX_MS:.0e}, in milliseconds, not {value:g}.", field=name)
    return round(value)


def _output(fields: Fields, name: str) -> Params:
    extension = fields.text(name)
    if extension is None:
        return {"format": None, "rate_hz": None, "bits": None}
    return _target(name, extension, None, None)


def _target(field: str, name: str | None, rate_hz: int | None, bits: int | None) -> Params:
    """A target's parameters, checked.

    Raises:
        Invalid: no such format, rate or depth, or a rate that the format cannot hold.
    """
    known = (name or "").lower().removeprefix(".")
    if known not in FORMATS:
        raise Invalid(f"{field} must be one of {', '.join(FORMATS)}, not {shown(name or '')}.", field=field)
    if rate_hz is not None and rate_hz not in RATES_HZ:
        raise Invalid(f"target_sr must be one of {', '.join(map(str, RATES_HZ))}, not {rate_hz}.", field="target_sr")
    if bits is not None and bits not in BITS:
        raise Invalid(
            f"target_bit_depth must be one of {', '.join(map(str, BITS))}, not {bits}.", field="target_bit_depth"
        )
    rates_hz = FORMATS[known].rates_hz
    if rate_hz is not None and rate_hz not in rates_hz:
        raise Invalid(f"target_sr: {known} holds at most {rates_hz[-1]} Hz, not {rate_hz}.", field="target_sr")
    return {"format": known, "rate_hz": rate_hz, "bits": bits}
