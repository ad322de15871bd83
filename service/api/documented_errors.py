"""The error answers of each dialect as the document shows them, with an example of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from service import errors

Json = dict[str, Any]

_RETRY_AFTER: Json = {
    "description": "Seconds to wait before the next try.",
    "schema": {"type": "integer", "minimum": 0},
}


@dataclass(frozen=True)
class DocumentedError:
    """One kind of error.

    Attributes:
        kind: what is raised: its ``code`` and ``name`` are on the wire, and its own name is the answer's.
        about: when it is answered.
        example: a message.
    """

    kind: type[errors.ServiceError]
    about: str
    example: str


ERRORS = {
    error.kind.code: error
    for error in (
        DocumentedError(errors.BadRequest, "The request cannot be read.", "The body is not valid JSON."),
        DocumentedError(
            errors.Unauthorized, "No key, or one that is unknown or revoked.", "You do not have access permissions",
        ),
        DocumentedError(
            errors.PaymentRequired, "The key's credits do not suffice.",
            "Not enough credits: this takes 10, and 4 are left.",
        ),
        DocumentedError(errors.NotFound, "No such record, or not one of this key's.", "Record does not exist"),
        DocumentedError(
            errors.Conflict, "The request contradicts an earlier one, or the state of things.",
            "This Idempotency-Key was used for a request with another body.",
        ),
        DocumentedError(
            errors.TooLarge, "Over a limit in bytes; the message names it.",
            "The file is larger than the limit of 200 MB.",
        ),
        DocumentedError(
            errors.Invalid, "A field is missing or wrong; the message names it.", "Please enter callBackUrl.",
        ),
        DocumentedError(
            errors.TooManyRequests, "Too many new tasks with this key, or too many unfinished.",
            "More than 20 new tasks in 10 s, this key's limit.",
        ),
        DocumentedError(
            errors.Draining, "The service is being stopped or upgraded.",
            "The service is being stopped or upgraded, and takes nothing new; try again in a moment.",
        ),
        DocumentedError(
            errors.ServiceError, "Something went wrong on our side.",
            "Something went wrong on our side; the request was not carried out.",
        ),
        DocumentedError(
            errors.Unavailable, "The database is away, or the service is being stopped or upgraded.",
            "The service's database cannot be reached just now; the request was not carried out. Try again soon.",
        ),
    )
}  # fmt: skip

# Examples in the MusicGPT dialect, where those above are of another one.
_OF_MUSICGPT = {
    400: "Missing required parameter: target_format.",
    401: "You do not have access permissions: no key, or one that is unknown or revoked. Send it as Authorization: "
    "KEY, or Bearer KEY.",
    404: "There is no conversion of the type AUDIO_TO_MIDI with this id.",
    422: "Give exactly one of audio_url, audio_path, audio_file; none was given.",
}
_OUTSIDE = DocumentedError(  # of downloads only
    errors.RangeNotSatisfiable, "The range lies outside the file.", errors.RangeNotSatisfiable(1024).message
)
_NOT_OFFERED = DocumentedError(  # of one dialect only
    errors.NotOffered, "An endpoint of the vendor's that is not offered here; the message names those that are.",
    "conversionType REMIX is not offered here; there is AUDIO_TO_MIDI, FILE_CONVERT, EXTRACTION.",
)  # fmt: skip
OF_BODIES = {400, 402, 413}  # what only a request with a body can be answered
OF_POSTS = {errors.Draining.code, 409}  # what only a request that makes something can be answered
_KIE_CODES = (200, *ERRORS)
_KIE_REAL = (401, 429, 500, 503)  # with the HTTP status of the same number; every other verdict comes with HTTP 200
_UPLOAD_STATUSES = (400, 401, 409, 413, 429, 500, 503)  # whatever else is wrong with a request is a 400 here
_PROBLEM_STATUSES = (400, 401, 402, 404, 409, 413, 422, 429, 500, 503)


def error_of(status: int) -> DocumentedError:
    """The error that is answered with an HTTP status, or a code."""
    if status == errors.RangeNotSatisfiable.code:
        return _OUTSIDE
    if status == errors.NotOffered.code:
        return _NOT_OFFERED
    return ERRORS[status]


def makes_something(operation: Json) -> bool:
    """Whether an operation takes an Idempotency-Key, as every POST does."""
    return any(item["name"] == "Idempotency-Key" for item in operation.get("parameters", ()))


@dataclass(frozen=True)
class Dialect:
    """How the routes below some prefixes answer errors.

    Attributes:
        prefixes: of their paths.
        operation_prefix: of their operation ids.
        response_prefix: of the names of their error answers.
        schema: name of the schema of an error's body.
        media_type: of an error's body.
        known: the statuses they can answer.
        envelope_codes: name of the schema of an envelope's ``code``, where HTTP 200 can carry an error.
        envelope_errors: the codes of errors that come with HTTP 200.
        of_all: statuses that each operation can answer, whatever it takes.
        of_some: further ones, by operation id.
    """

    prefixes: tuple[str, ...]
    operation_prefix: str
    response_prefix: str
    schema: str
    media_type: str
    known: tuple[int, ...]
    envelope_codes: str | None = None
    envelope_errors: tuple[int, ...] = ()
    of_all: tuple[int, ...] = ()
    of_some: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def response_name(self, status: int) -> str:
        """Name of the documented answer with this status."""
        return self.response_prefix + error_of(status).kind.__name__

    def statuses(self, operation: Json, path: str) -> list[int]:
        """The error statuses that an operation can answer with."""
        wanted = {500, 503, *self.of_all, *self.of_some.get(operation["operationId"], ())}
        if operation.get("security"):
            wanted |= {401, 429}
        if "requestBody" in operation:
            wanted |= OF_BODIES | {422}
        if makes_something(operation):
            wanted |= OF_POSTS | {422}
        if any(item["in"] == "query" for item in operation.get("parameters", ())):
            wanted |= {422}
        if "{" in path:
            wanted |= {404}
        return sorted(wanted & set(self.known))

    def words(self, status: int) -> str:
        """The message in the example of an error with this status."""
        own = _OF_MUSICGPT if self.schema == "MusicGptError" else {}
        return own.get(status, error_of(status).example)

    def example(self, status: int) -> Json:
        """The body of an error with this status."""
        error = error_of(status)
        if self.schema == "KieError":
            return {"code": status, "msg": error.example, "data": None}
        if self.schema == "UploadError":
            return {"success": False, "code": status, "msg": error.example}
        if self.schema == "MusicGptError":
            said = self.words(status)
            return {"success": False, "message": said, "detail": said, "code": error.kind.name}
        return {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": error.example,
            "instance": "/v1/tasks/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "code": error.kind.name,
        }


_UPLOADS = Dialect(("/api/file-",), "kie", "Upload", "UploadError", "application/json", _UPLOAD_STATUSES)
_KIE = Dialect(
    ("/api/v1/",), "kie", "Kie", "KieError", "application/json", _KIE_REAL,
    envelope_codes="KieCode",
    envelope_errors=tuple(code for code in ERRORS if code not in _KIE_REAL),
)  # fmt: skip
_MUSICGPT = Dialect(
    ("/api/public/v1/",), "musicGpt", "MusicGpt", "MusicGptError", "application/json", (*_PROBLEM_STATUSES, 501),
    of_all=(400, 404),
    of_some={"musicGptById": (501,)},
)  # fmt: skip
NATIVE = Dialect(("/v1/", "/files/"), "", "Problem", "Problem", "application/problem+json", _PROBLEM_STATUSES)

DIALECTS = (_KIE, _UPLOADS, _MUSICGPT, NATIVE)

_SCHEMAS: Json = {
    "KieCode": {
        "title": "KieCode",
        "type": "integer",
        "enum": list(_KIE_CODES),
        "description": "The verdict: 200 is success. "
        + " ".join(f"{code}: {error.about}" for code, error in ERRORS.items()),
    },
    "KieError": {
        "title": "KieError",
        "type": "object",
        "required": ["code", "data", "msg"],
        "properties": {
            "code": {"$ref": "#/components/schemas/KieCode"},
            "msg": {"type": "string", "description": "What is wrong, for a person."},
            "data": {"type": "null", "description": "Nothing."},
        },
    },
    "UploadError": {
        "title": "UploadError",
        "type": "object",
        "required": ["code", "msg", "success"],
        "properties": {
            "success": {"type": "boolean", "const": False, "description": "Always false."},
            "code": {"type": "integer", "description": "The HTTP status."},
            "msg": {"type": "string", "description": "What is wrong, for a person."},
        },
    },
    "MusicGptError": {
        "title": "MusicGptError",
        "type": "object",
        "required": ["code", "detail", "message", "success"],
        "properties": {
            "success": {"type": "boolean", "const": False, "description": "Always false."},
            "message": {"type": "string", "description": "What is wrong, for a person."},
            "detail": {"type": "string", "description": "The same; clients differ in which of the two they read."},
            "code": {"type": "string", "description": "The kind of error, for programs: does not change."},
        },
    },
    "Problem": {
        "title": "Problem",
        "type": "object",
        "description": "Problem details, as in RFC 9457.",
        "required": ["code", "detail", "instance", "status", "title", "type"],
        "properties": {
            "type": {"type": "string", "description": "about:blank: the title says it all."},
            "title": {"type": "string", "description": "The kind of problem, in words."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What is wrong with this request, for a person."},
            "instance": {"type": "string", "description": "The path that was asked for."},
            "code": {"type": "string", "description": "The kind of problem, for programs: does not change."},
            "errors": {
                "type": "array",
                "description": "The field that is wrong, where it is one.",
                "items": {
                    "type": "object",
                    "required": ["detail", "field"],
                    "properties": {
                        "field": {"type": "string", "description": "Its name."},
                        "detail": {"type": "string", "description": "What is wrong with it."},
                    },
                },
            },
        },
    },
}


def components() -> dict[str, Json]:
    """The error schemas, answers and examples that operations refer to."""
    responses, examples = {}, {}
    for dialect in DIALECTS:
        for code in dialect.envelope_errors:
            examples[dialect.response_name(code)] = {"summary": ERRORS[code].about, "value": dialect.example(code)}
        for status in dialect.known:
            content = {
                dialect.media_type: {
                    "schema": {"$ref": f"#/components/schemas/{dialect.schema}"},
                    "example": dialect.example(status),
                }
            }
            response: Json = {"description": error_of(status).about, "content": content}
            if status in (429, 503):
                response["headers"] = {"Retry-After": _RETRY_AFTER}
            responses[dialect.response_name(status)] = response
    return {"schemas": _SCHEMAS, "responses": responses, "examples": examples}
