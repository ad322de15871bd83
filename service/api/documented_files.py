"""What is no JSON in the document: any kind of file, whole, in part, or not again; and streams of events."""

from typing import Any

from service.api.documented_errors import NATIVE

Json = dict[str, Any]

EVENTS = "followTask"  # operation id
DOWNLOADS = ("download", "downloadFile", "downloadFileHead", "downloadHead")  # operation ids

_HEADERS: Json = {
    "ETag": {"description": "Of these bytes; they never change.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "bytes", "schema": {"type": "string"}},
    "Content-Disposition": {"description": "The name to save it under.", "schema": {"type": "string"}},
}
_CONTENT_RANGE: Json = {
    "Content-Range": {"description": "Which bytes these are, of how many.", "schema": {"type": "string"}}
}
_LOCATION: Json = {"Location": {"description": "Where it is.", "schema": {"type": "string", "format": "uri"}}}
_OUTSIDE: Json = {
    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": NATIVE.example(416)}
}
_PARAMETERS = {
    "Range": "The bytes that are wanted, bytes=0-1023; one range.",
    "If-Range": "The ETag that the range is of; the whole file, should it be another.",
    "If-None-Match": "The ETag of what is there already; answered with 304 if it is the file's.",
}


def document_download(operation: Json, method: str) -> None:
    """Describe an operation that answers a file, to GET or to HEAD."""
    content = {} if method == "head" else {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    problem = {} if method == "head" else {"content": _OUTSIDE}
    operation["responses"] |= {
        "200": {"description": "The file.", "headers": _HEADERS, **content},
        "206": {"description": "The part that was asked for.", "headers": _HEADERS | _CONTENT_RANGE, **content},
        "304": {"description": "What the client has is the file.", "headers": {"ETag": _HEADERS["ETag"]}},
        "307": {"description": "The storage has it at this address, for some minutes.", "headers": _LOCATION},
        "416": {"description": "The range lies outside the file.", "headers": _CONTENT_RANGE, **problem},
    }
    operation.setdefault("parameters", []).extend(
        {"name": name, "in": "header", "required": False, "description": about, "schema": {"type": "string"}}
        for name, about in _PARAMETERS.items()
    )


def document_events(operation: Json, data: Json) -> None:
    """Describe an operation that answers server-sent events.

    Args:
        data: the schema of an event's data, which is JSON in a string.
    """
    event = {
        "title": "Event",
        "description": "An event of the stream, once it is parsed.",
        "type": "object",
        "required": ["data", "event", "id"],
        "properties": {
            "id": {"type": "string", "description": "For Last-Event-ID."},
            "event": {
                "type": "string",
                "enum": ["progress", "succeeded", "failed", "cancelled"],
                "description": "All but progress end the stream.",
            },
            "data": {
                "type": "string",
                "description": "How the task stands, as JSON.",
                "contentMediaType": "application/json",
                "contentSchema": data,
            },
        },
    }
    # OpenAPI 3.1 leaves open whether a stream's schema is of its text or of an event; some clients want the one, some
    # the other.
    stream = {"type": "string", "description": "The stream's text."}
    operation["responses"]["200"]["content"]["text/event-stream"]["schema"] = {"anyOf": [stream, event]}
