"""What the framework cannot see of the API, added to the document that it generates.

The framework derives routes, parameters, bodies and successful answers from the handlers.  What every route of a
dialect shares is added here, by where its path lies: error answers in the dialect's own form, the ``Idempotency-Key``,
names that generated clients can bear, examples composed of the fields' own.  A body that a handler reads from the
stream itself is described by the handler's ``operation_class``: see :func:`reads`.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Operation, RequestBody
from litestar.openapi.spec.encoding import Encoding
from litestar.openapi.spec.media_type import OpenAPIMediaType
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from service.api.documented_errors import DIALECTS, OF_BODIES, OF_POSTS, Dialect, components, makes_something
from service.api.documented_files import DOWNLOADS, EVENTS, document_download, document_events
from service.api.documented_links import add_links
from service.api.documented_musicgpt import document_musicgpt, tighten_musicgpt_schemas
from service.api.documented_requests import document_request, tighten_schemas
from service.musicgpt.wire import Conversion, Results
from service.native.wire import Progress

Json = dict[str, Any]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_REF = "#/components/schemas/"
# The framework names Envelope[TaskCreated] "Envelope_service.kie.wire.TaskCreated_".
_GENERIC = re.compile(r"(?P<outer>[A-Z]\w*?)_(?:\w+\.)*(?P<inner>\w+?)(?:_NoneType)?_")
_JSON = "application/json"
# Of the files that are taken; what a file is gets read from its bytes, whatever type it is sent with.
_AUDIO_TYPES = "audio/wav, audio/flac, audio/mpeg, audio/ogg, audio/mp4, audio/aac, audio/aiff, video/mp4"
_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of your own for this request, a UUID for instance. Within 24 hours, the same key with the "
    "same request gets the first answer again and nothing is done twice; with another request it is refused.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


def operation_id(handler: HTTPRouteHandler, method: Method, path: list[str | PathParameterDefinition]) -> str:
    """The dialect and the handler's name, ``kieGenerateSeparation``: stable, and good as a generated client's method.

    A handler of several methods or paths gets an id for each, told apart by what differs.
    """
    parts = [component.name if isinstance(component, PathParameterDefinition) else component for component in path]
    dialect = _dialect("/" + "/".join(parts))
    words = [*handler.handler_name.split("_")]
    if len(handler.http_methods) > 1 and method != "GET":
        words.append(method)
    if len(handler.paths) > 1:
        words[1:] = parts[-2:]
    prefix = dialect.operation_prefix if dialect else ""
    name = "".join(word.capitalize() for word in words if word)
    return prefix + name if prefix else name[0].lower() + name[1:]


def reads(
    *,
    form: type[msgspec.Struct] | None = None,
    json: type[msgspec.Struct] | None = None,
    urlencoded: bool = False,
) -> type[Operation]:
    """The ``operation_class`` of a handler that reads its body itself: as a form, as JSON, or as either.

    Args:
        form: the multipart fields; one of type ``bytes`` is a file.
        json: the JSON object.
        urlencoded: whether the form's fields, without its files, are taken urlencoded and as JSON, too.
    """
    content: dict[str, OpenAPIMediaType] = {}
    for media_type, struct in (("multipart/form-data", form), (_JSON, json)):
        if struct is not None:
            schema = _inline_schema(struct)
            files = [name for name, item in schema["properties"].items() if item.get("format") == "binary"]
            encoding = {name: Encoding(content_type=_AUDIO_TYPES) for name in files}
            content[media_type] = OpenAPIMediaType(schema=schema, encoding=encoding or None)  # type: ignore[arg-type]

    if urlencoded and form is not None:
        for media_type in ("application/x-www-form-urlencoded", _JSON):
            schema = _inline_schema(form)
            named = {name: item for name, item in schema["properties"].items() if item.get("format") != "binary"}
            schema |= {"title": f"{form.__name__.removesuffix('Form')}Request", "properties": named}
            content[media_type] = OpenAPIMediaType(schema=schema)  # type: ignore[arg-type]

    @dataclass
    class Reading(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(content=content, required=True)

    return Reading


def _inline_schema(struct: type[msgspec.Struct]) -> Json:
    """A struct's JSON schema without references; files are binary, and no field of a form is null."""
    (schema,), definitions = msgspec.json.schema_components([struct], ref_template=_REF + "{name}")

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolve(definitions[value["$ref"].removeprefix(_REF)])
        if value.pop("contentEncoding", None):
            value["format"] = "binary"
        return {name: resolve(item) for name, item in value.items()}

    resolved: Json = resolve(schema)
    return resolved


def complete(generated: Json) -> Json:
    """The generated document, completed; the argument stays as it is."""
    document = copy.deepcopy(generated)
    _rename_generics(document)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for kind, named in components().items():
        document["components"].setdefault(kind, {}).update(named)
    # of a handler's several paths, the framework takes now this one first, now that one
    document["paths"] = {path: _in_order(item) for path, item in sorted(document["paths"].items())}
    for _, _, operation in operations(document):
        _name_bodies(operation, schemas)
    _flatten_nullables(document)
    tighten_schemas(schemas)
    tighten_musicgpt_schemas(schemas, _inline_schema(Conversion), _inline_schema(Results))
    for path, method, operation in operations(document):
        _drop_framework_error(operation)
        _describe_success(operation)
        _tidy_parameters(operation)
        if operation["operationId"] in DOWNLOADS:
            document_download(operation, method)
        if operation["operationId"] == EVENTS:
            document_events(operation, _inline_schema(Progress))
        if method == "post":
            operation.setdefault("parameters", []).append(copy.deepcopy(_IDEMPOTENCY_KEY))
        if (dialect := _dialect(path)) is not None:
            _add_errors(operation, dialect, path, schemas)
        document_request(operation)
        document_musicgpt(operation)
        _add_examples(operation, schemas)
        add_links(operation)
        operation["responses"] = dict(sorted(operation["responses"].items()))
    document["components"] = {kind: dict(sorted(named.items())) for kind, named in document["components"].items()}
    return document


def _in_order(item: Json) -> Json:
    """A path's methods, which the framework gives in another order each time."""
    return {name: item[name] for name in (*(n for n in item if n not in _METHODS), *_METHODS) if name in item}


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Every operation of a document, with its path and its method in lower case."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, method, item[method]


def _dialect(path: str) -> Dialect | None:
    return next((dialect for dialect in DIALECTS if path.startswith(dialect.prefixes)), None)


def _rename_generics(document: Json) -> None:
    schemas: Json = document.get("components", {}).get("schemas", {})
    renamed = {
        name: match["inner"][0].upper() + match["inner"][1:] + match["outer"]
        for name in schemas
        if (match := _GENERIC.fullmatch(name))
    }

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str) and (new := renamed.get(target.removeprefix(_REF))):
                value["$ref"] = _REF + new
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    walk(document)
    for old, new in renamed.items():
        schemas[new] = {**schemas.pop(old), "title": new}


def _flatten_nullables(value: Any) -> None:
    """``oneOf: [string, null]`` becomes ``type: [string, null]``, whose format and description then lie together."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _flatten_nullables(item)
    for name in ("oneOf", "anyOf"):
        if not isinstance(value, dict) or not isinstance(value.get(name), list):
            continue
        kept = [item for item in value[name] if item != {"type": "null"}]
        if len(kept) == 1 and isinstance(kept[0].get("type"), str) and "enum" not in kept[0]:
            nullable = len(value[name]) > 1
            del value[name]
            value.update({**kept[0], **value, "type": [kept[0]["type"], "null"] if nullable else kept[0]["type"]})


def _drop_framework_error(operation: Json) -> None:
    """Its own 400, which no handler of ours lets through."""
    content = operation["responses"].get("400", {}).get("content", {}).get(_JSON, {})
    if "status_code" in content.get("schema", {}).get("properties", {}):
        del operation["responses"]["400"]


def _describe_success(operation: Json) -> None:
    """What the operation does, in place of the framework's words on the status."""
    for status, response in operation["responses"].items():
        if response.get("description") == HTTPStatus(int(status)).description:
            response["description"] = f"{operation['summary']}."


def _tidy_parameters(operation: Json) -> None:
    """A parameter of an address or a header can be absent, never null; defaults of the specification are left out."""
    for parameter in operation.get("parameters", ()):
        for name in ("deprecated", "allowEmptyValue", "allowReserved"):
            if parameter.get(name) is False:
                del parameter[name]
        schema = parameter["schema"]
        if isinstance(schema.get("type"), list):
            (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
        schema["oneOf"] = [item for item in schema.get("oneOf", ()) if item != {"type": "null"}]
        if len(schema["oneOf"]) < 2:
            schema.update(*schema.pop("oneOf"))
        if schema.get("default", 0) is None:
            del schema["default"]
    if operation.get("deprecated") is False:
        del operation["deprecated"]


def _name_bodies(operation: Json, schemas: Json) -> None:
    """Bodies described by :func:`reads` become schemas with a name, as the framework's own are."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "title" in content["schema"]:
            name = content["schema"]["title"]
            schemas[name] = content["schema"]
            content["schema"] = {"$ref": _REF + name}
        for encoding in content.get("encoding", {}).values():  # beside these two, the type would count for nothing
            for setting in ("explode", "allowReserved"):
                encoding.pop(setting, None)


def _add_errors(operation: Json, dialect: Dialect, path: str, schemas: Json) -> None:
    responses = operation["responses"]
    for status in dialect.statuses(operation, path):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{dialect.response_name(status)}"})
    if dialect.envelope_codes is None or "200" not in responses:
        return
    content = responses["200"]["content"][_JSON]
    envelope = schemas[content["schema"]["$ref"].removeprefix(_REF)]["properties"]
    envelope["code"] = {"$ref": _REF + dialect.envelope_codes}
    if not _is_nullable(envelope["data"]):
        about = envelope["data"].pop("description", "")
        kept = envelope["data"]["allOf"][0] if len(envelope["data"].get("allOf", ())) == 1 else envelope["data"]
        envelope["data"] = {"description": about, "oneOf": [kept, {"type": "null"}]}
    left_out = (set() if "requestBody" in operation else OF_BODIES) | (
        set() if makes_something(operation) else OF_POSTS
    )
    content["examples"] = {
        "success": {"value": {**example_of(content["schema"], schemas), "code": 200, "msg": "success"}},
        **{
            dialect.response_name(code): {"$ref": f"#/components/examples/{dialect.response_name(code)}"}
            for code in dialect.envelope_errors
            if code not in left_out
        },
    }


def _is_nullable(schema: Json) -> bool:
    kinds = schema.get("type", ())
    return "null" in ([kinds] if isinstance(kinds, str) else kinds) or {"type": "null"} in schema.get("oneOf", ())


def _add_examples(operation: Json, schemas: Json) -> None:
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        content = body.get("content", {}).get(_JSON)
        if content and content.get("schema") and not {"example", "examples"} & content.keys():
            content["example"] = example_of(content["schema"], schemas)


def example_of(schema: Json, schemas: Json) -> Any:
    """An instance of a schema, composed of the examples that its fields were given."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(_REF)], schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    for name in ("const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("oneOf", "anyOf"):
        if schema.get(name):
            return example_of(next(item for item in schema[name] if item != {"type": "null"}), schemas)
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "object":
        return {name: example_of(item, schemas) for name, item in schema.get("properties", {}).items()}
    if kind == "array":
        return [example_of(schema["items"], schemas)] if schema.get("items") else []
    return {"string": "string", "integer": 0, "number": 0, "boolean": True}.get(kind)
