"""The error answers of each dialect as the document shows them, with an example of each."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]

_RETRY_AFTER: Json = {
    "description": "Seconds to wait before the next try.",
    "schema": {"type": "integer", "minimum": 0},
}


@dataclass(frozen=True)
class DocumentedError:
    """One kind of error.

    Attributes:
        title: names the documented answer.
        name: what the native dialect shows as ``code``.
        about: when it is answered.
        example: a message.
    """

    title: str
    name: str
    about: str
    example: str


ERRORS = {
    400: DocumentedError("BadRequest", "bad_request", "The request cannot be read.", "The body is not valid JSON."),
    401: DocumentedError(
        "Unauthorized", "unauthorized", "No key, or one that is unknown or revoked.",
        "You do not have access permissions",
    ),
    402: DocumentedError(
        "OutOfCredits", "insufficient_credits", "The key's credits do not suffice.",
        "This task costs 10 credits; the key has 4 left.",
    ),
    404: DocumentedError("NotFound", "not_found", "No such record, or not one of this key's.", "Record does not exist"),
    409: DocumentedError(
        "Conflict", "conflict", "The request contradicts an earlier one, or the state of things.",
        "This Idempotency-Key was used for a request with another body.",
    ),
    413: DocumentedError(
        "TooLarge", "too_large", "Over a limit in bytes; the message names it.",
        "The file is larger than the limit of 200 MB.",
    ),
    422: DocumentedError(
        "Invalid", "invalid", "A field is missing or wrong; the message names it.", "Please enter callBackUrl.",
    ),
    429: DocumentedError(
        "TooManyRequests", "too_many_requests", "Too many new tasks with this key, or too many unfinished.",
        "More than 20 new tasks in 10 s; try again in 3 s.",
    ),
    451: DocumentedError(
        "SourceNotFetched", "source_not_fetched", "The source audio could not be fetched.", "The address answered 404.",
    ),
    455: DocumentedError(
        "Maintenance", "maintenance", "The service is being stopped or upgraded.",
        "The service takes no new tasks just now.",
    ),
    500: DocumentedError(
        "ServerError", "internal_error", "Something went wrong on our side.",
        "Something went wrong on our side; the request was not carried out.",
    ),
    501: DocumentedError("GenerationFailed", "generation_failed", "The generation failed.", "The generation failed."),
    505: DocumentedError("Disabled", "disabled", "This feature is switched off here.", "This feature is disabled."),
}  # fmt: skip

OF_BODIES = {400, 402, 413, 451, 455, 501, 505}  # what only a request with a body can be answered
_KIE_CODES = (200, *ERRORS)
_KIE_REAL = (401, 429, 500)  # with the HTTP status of the same number; every other verdict comes with HTTP 200
_UPLOAD_STATUSES = (400, 401, 409, 413, 429, 500)  # whatever else is wrong with a request is a 400 here
_PROBLEM_STATUSES = (400, 401, 402, 404, 409, 413, 422, 429, 500)


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
    """

    prefixes: tuple[str, ...]
    operation_prefix: str
    response_prefix: str
    schema: str
    media_type: str
    known: tuple[int, ...]
    envelope_codes: str | None = None
    envelope_errors: tuple[int, ...] = ()

    def response_name(self, status: int) -> str:
        """Name of the documented answer with this status."""
        return self.response_prefix + ERRORS[status].title

    def statuses(self, operation: Json, path: str) -> list[int]:
        """The error statuses that an operation can answer with."""
        wanted = {500}
        if operation.get("security"):
            wanted |= {401, 429}
        if "requestBody" in operation:
            wanted |= OF_BODIES | {422}
        if any(item["name"] == "Idempotency-Key" for item in operation.get("parameters", ())):
            wanted |= {409, 422}
        if any(item["in"] == "query" for item in operation.get("parameters", ())):
            wanted |= {422}
        if "{" in path:
            wanted |= {404}
        return sorted(wanted & set(self.known))

    def example(self, status: int) -> Json:
        """The body of an error with this status."""
        error = ERRORS[status]
        if self.schema == "KieError":
            return {"code": status, "msg": error.example, "data": None}
        if self.schema == "UploadError":
            return {"success": False, "code": status, "msg": error.example}
        return {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": error.example,
            "instance": "/v1/tasks/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "code": error.name,
        }


_UPLOADS = Dialect(("/api/file-",), "kie", "Upload", "UploadError", "application/json", _UPLOAD_STATUSES)
_KIE = Dialect(
    ("/api/v1/",), "kie", "Kie", "KieError", "application/json", _KIE_REAL,
    envelope_codes="KieCode",
    envelope_errors=tuple(code for code in ERRORS if code not in _KIE_REAL),
)  # fmt: skip
_NATIVE = Dialect(("/v1/", "/files/"), "", "Problem", "Problem", "application/problem+json", _PROBLEM_STATUSES)

DIALECTS = (_KIE, _UPLOADS, _NATIVE)

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
            response: Json = {"description": ERRORS[status].about, "content": content}
            if status == 429:
                response["headers"] = {"Retry-After": _RETRY_AFTER}
            responses[dialect.response_name(status)] = response
    return {"schemas": _SCHEMAS, "responses": responses, "examples": examples}
