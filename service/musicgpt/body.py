"""Bodies of requests: a form with a file or without one, JSON, or urlencoded; and values that may come as text.

The documents' own example for curl sends JSON under the type that curl gives a body by default, which is urlencoded: so
a body of another type than multipart is JSON where it begins like it.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from service.api.errors import MAX_JSON_BYTES
from service.api.multipart import StreamedUpload, receive
from service.api.wording import shown
from service.errors import BadRequest, Invalid, TooLarge

FILE_FIELD = "audio_file"
_MAX_TEXT = 8192
_MAX_FIELDS = 64
_TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_NO_OBJECT = "The body must be multipart/form-data, urlencoded, or a JSON object."


@dataclass(frozen=True, slots=True)
class Fields:
    """What was sent.

    Attributes:
        values: the fields.  Text in forms, a list of it of one that came several times; anything in JSON.
        upload: the file that was sent along and lies on disk now; None where there was none.
        other_files: names of fields that files came in, which are not read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    upload: StreamedUpload | None = None
    other_files: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Whether a field says something: empty text and null are as good as left out."""
        return self.values.get(name) not in (None, "")

    def require(self, *names: str) -> None:
        """Refuse a request that leaves out a field that must be there.

        Raises:
            BadRequest: names those that are missing.
        """
        if missing := [name for name in names if not self.has(name)]:
            raise BadRequest(f"Missing required parameter{'s' * (len(missing) > 1)}: {', '.join(missing)}.")

    def text(self, name: str) -> str | None:
        """A text.

        Raises:
            Invalid: it is something else, or too long.
        """
        if not self.has(name):
            return None
        value = self.values[name]
        if not isinstance(value, str):
            raise Invalid(f"{name} must be text.", field=name)
        if len(value) > _MAX_TEXT:
            raise Invalid(f"{name} is longer than {_MAX_TEXT} characters.", field=name)
        return value.strip()

    def flag(self, name: str, default: bool) -> bool:
        """A truth value, which may come as text or number.

        Raises:
            Invalid: it is something else.
        """
        if not self.has(name):
            return default
        truth = _TRUTHS.get(str(self.values[name]).strip().lower())
        if truth is None:
            raise Invalid(f"{name} must be true or false, not {shown(str(self.values[name]))}.", field=name)
        return truth

    def number(self, name: str) -> float | None:
        """A finite number, which may come as text.

        Raises:
            Invalid: it is something else.
        """
        if not self.has(name):
            return None
        value = self.values[name]
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not abs(number) < float("inf"):
            raise Invalid(f"{name} must be a number, not {shown(str(value))}.", field=name)
        return number

    def whole(self, name: str) -> int | None:
        """A whole number, which may come as text.

        Raises:
            Invalid: it is something else.
        """
        number = self.number(name)
        if number is None:
            return None
        if number != int(number):
            raise Invalid(f"{name} must be a whole number, not {shown(str(self.values[name]))}.", field=name)
        return int(number)

    def names(self, name: str) -> list[str] | None:
        """A list of names: JSON in a text, as documented, a list in a JSON body, or names separated by commas.

        Raises:
            Invalid: it is something else.
        """
        if not self.has(name):
            return None
        value = self.values[name]
        if isinstance(value, str):
            if value.lstrip().startswith("["):
                try:
                    value = msgspec.json.decode(value)
                except (msgspec.DecodeError, RecursionError):
                    value = None
            else:
                value = value.split(",")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Invalid(f'{name} must be a JSON list of names, such as ["vocals", "drums"].', field=name)
        return [item.strip() for item in value if item.strip()]


async def read_body(chunks: AsyncIterator[bytes], content_type: str, to: Path, max_bytes: int) -> Fields:
    """Read a request's body; a file that is sent along is written to ``to``.

    Raises:
        BadRequest: it cannot be read.
        TooLarge: the file is longer than ``max_bytes``, or the rest than its own limit.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await receive(chunks, content_type, file_field=FILE_FIELD, to=to, max_bytes=max_bytes, is_required=False)
        is_filled = form.has_file and bool(
            form.size_bytes or form.file_name
        )  # a form's field that nobody filled is not
        pairs = [(name, value) for name, values in form.values.items() for value in values]
        return Fields(_gathered(pairs), form if is_filled else None, tuple(form.other_files))
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(f"The request body is larger than the limit of {MAX_JSON_BYTES / 1e6:g} MB.")
    if body.lstrip()[:2] == b"--":
        raise BadRequest(
            "The body is a form, but its Content-Type does not say multipart/form-data with a boundary: leave that "
            "header to your HTTP client."
        )
    if body.lstrip()[:1] == b"{" or kind == "application/json" or kind.endswith("+json"):
        return Fields(_json_object(bytes(body)))
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise BadRequest(f"The body is of the type {shown(kind)}. {_NO_OBJECT}")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeError) as error:
        raise BadRequest("The body is not valid urlencoded text.") from error
    return Fields(_gathered(pairs))


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Fields by name, ``stems[]`` as ``stems``; those that came several times as lists."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.removesuffix("[]"), []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise BadRequest(_NO_OBJECT)
    return value
