"""Words for what clients sent: values cut to a length that can be read, and the decoder's verdicts as sentences."""

import re

_MAX_SHOWN = 60  # of a value, in characters: enough to know it again
_VERDICT = re.compile(r"Expected `([\w |]+)`, got `(\w+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PATH = re.compile(r" - at `\$([^`]*)`$")
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a JSON object",
    "null": "null",
}


def cut(text: str) -> str:
    """A text for a message: whole, or the beginning of a long one."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def shown(value: str) -> str:
    """A value that a client sent, quoted for a message that must not grow with it."""
    return repr(cut(value))


def wrong_field(verdict: str, key: str | None = None) -> tuple[str, str] | None:
    """What a decoder found wrong, for a person.

    Args:
        verdict: msgspec's, with the place in the document where it names one.
        key: the place, where it is known without.

    Returns:
        The field, and a sentence that names it; None where not a field but the whole document is wrong.
    """
    path = _PATH.search(verdict)
    place = key if path is None else path[1].lstrip(".")
    if not place:
        return None
    field, _, inside = place.partition("[")
    subject = f"every item of {field}" if inside else field
    found = _VERDICT.match(verdict)
    if found is None:
        return field, f"{subject}: {cut(verdict.partition(' - at ')[0])}."
    kinds = [_KINDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null"]
    expected = " or ".join(kinds)
    return field, f"{subject} must be {expected}, not {_KINDS.get(found[2], found[2])}."


def unknown_field(verdict: str) -> str | None:
    """The field that a decoder does not know, where that is its verdict."""
    found = _UNKNOWN.match(_PATH.sub("", verdict))
    return None if found is None else found[1]
