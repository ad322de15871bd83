"""The document says everything of every route, and its page asks nobody outside for anything."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from litestar.testing import RequestFactory

from service import errors
from service.api.documentation import complete, example_of, operations
from service.api.documented_errors import DIALECTS, ERRORS, Dialect, error_of
from service.api.documented_files import DOWNLOADS
from service.api.documented_links import LINKS
from service.api.documented_requests import REQUIRED
from service.api.errors import kie_answer, musicgpt_answer, problem_answer, upload_answer
from support.api import Api
from wire.refresh_openapi import SNAPSHOT, as_text, document

Json = dict[str, Any]


@pytest.fixture(scope="module")
def made() -> Json:
    return document()


def test_matches_the_committed_document(made: Json) -> None:
    same = as_text(made) == SNAPSHOT.read_text(encoding="utf-8")
    assert same, "the API changed: look over the changes that `make schema` makes to tests/wire/openapi.json"


async def test_is_served(api: Api, made: Json) -> None:
    response = await api.http.get("/schema/openapi.json")
    assert response.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    assert response.json() == made


def test_is_the_same_every_time(made: Json) -> None:
    """The framework keeps the paths of a handler in a set, and hands out methods in the order of their registration."""
    assert [*made["paths"]] == sorted(made["paths"])
    ids = {operation["operationId"] for _, _, operation in operations(made)}
    assert {"kieShowChatCredit", "kieShowGenerateCredit"} <= ids


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ("SeparationRequest", {}),
        ("SeparationRequest", {"callBackUrl": None}),
        ("SeparationRequest", {"callBackUrl": ""}),
        ("SeparationRequest", {"type": "all_stems"}),
        ("SeparationRequest", {"stemName": "Kazoo"}),
        ("SeparationRequest", {"taskId": "1"}),
        ("MidiRequest", {"taskId": None}),
        ("JobRequest", {"model": "ai-music-api/other"}),
        ("JobRequest", {"input": None}),
        ("DownloadUrlRequest", {"url": None}),
        ("UrlUploadRequest", {"fileUrl": "song.mp3"}),
        ("Base64UploadRequest", {"base64Data": ""}),
        ("TranscriptionRequest", {"stems": []}),
        ("TranscriptionRequest", {"url": None}),
        ("FileConvertRequest", {}),
        ("FileConvertRequest", {"target_format": "midi"}),
        ("FileConvertRequest", {"target_sr": 11_025}),
        ("FileConvertRequest", {"target_bit_depth": 8}),
        ("AudioCutterRequest", {"start_time": -1}),
        ("AudioSpeedChangerRequest", {"speed_change_factor": 5}),
    ],
)
def test_requests_say_what_is_refused(made: Json, schema: str, wrong: Json) -> None:
    good = {field: example_of(made["components"]["schemas"][schema]["properties"][field], made["components"]["schemas"])
            for field in REQUIRED.get(schema, made["components"]["schemas"][schema]["required"])}  # fmt: skip
    validator = jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": made["components"]}, validate_formats=True
    )
    assert validator.is_valid(good)
    assert not validator.is_valid(good | wrong if wrong else {})


def test_completing_leaves_the_generated_document_alone(made: Json) -> None:
    before = as_text(made)
    complete(made)
    assert as_text(made) == before


class _Addresses(HTMLParser):
    """Every address that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "data-document", "action")]


async def test_the_page_needs_nobody_else(api: Api) -> None:
    page = await api.http.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    addresses = _Addresses()
    addresses.feed(page.text)
    assert len(addresses.found) == 5
    for address in addresses.found:
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc) == ("", "")
        asset = await api.http.get(address)
        assert asset.status_code == 200
        assert asset.headers["x-content-type-options"] == "nosniff"
    script = (await api.http.get("/schema/assets/page.js")).text
    assert "//" not in script
    assert "validatorUrl: null" in script
    assert (await api.http.get("/schema/assets/other.js")).status_code == 404


async def test_the_page_below_a_proxys_prefix(api: Api) -> None:
    transport = api.http._transport
    transport.root_path = "/stems"  # type: ignore[attr-defined]
    page = await api.http.get("/stems/schema")
    addresses = _Addresses()
    addresses.feed(page.text)
    assert addresses.found
    assert all(address.startswith("/stems/schema/") for address in addresses.found)


def test_every_operation_is_described(made: Json) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations(made):
        where = f"{method} {path}"
        assert re.fullmatch("[a-z][A-Za-z0-9]+", operation["operationId"]), where
        for name in ("summary", "description", "tags"):
            assert operation.get(name), f"{where} has no {name}"
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{where}: parameter {parameter['name']} has no description"
        if operation.get("security"):
            assert "401" in operation["responses"], where
        names = {parameter["name"] for parameter in operation.get("parameters", ())}
        assert ("Idempotency-Key" in names) == (method == "post"), where


def test_every_field_is_described(made: Json) -> None:
    undescribed = [
        f"{name}.{field}"
        for name, schema in made["components"]["schemas"].items()
        for field, item in schema.get("properties", {}).items()
        if "$ref" not in item and not item.get("description")
    ]
    assert not undescribed, f"{len(undescribed)} fields without a description: {undescribed}"


def _contents(made: Json) -> Iterator[tuple[str, Json]]:
    """Every body, of requests and answers, with where it is."""
    for path, method, operation in operations(made):
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for name, body in bodies.items():
            for media_type, content in body.get("content", {}).items():
                yield f"{method} {path} {name} {media_type}", content
    for name, response in made["components"]["responses"].items():
        for media_type, content in response["content"].items():
            yield f"{name} {media_type}", content


def test_every_json_body_has_an_example_that_fits(made: Json) -> None:
    for where, content in _contents(made):
        if "json" not in where.rsplit(" ", 1)[1]:
            continue
        named = [
            made["components"]["examples"][item["$ref"].rsplit("/", 1)[1]] if "$ref" in item else item
            for item in content.get("examples", {}).values()
        ]
        values = [item["value"] for item in named] + ([content["example"]] if "example" in content else [])
        assert values, f"{where} has no example"
        validator = jsonschema_rs.Draft202012Validator({**content["schema"], "components": made["components"]})
        for value in values:
            assert validator.is_valid(value), f"{where}: {value}: {[str(e) for e in validator.iter_errors(value)]}"


def test_downloads_are_documented(made: Json) -> None:
    known = {operation["operationId"]: operation for _, _, operation in operations(made)}
    for name in DOWNLOADS:
        assert {"200", "206", "304", "404", "416"} <= set(known[name]["responses"])


def test_links_lead_to_operations(made: Json) -> None:
    known = {operation["operationId"]: operation for _, _, operation in operations(made)}
    assert {link.source for link in LINKS} | {link.target for link in LINKS} <= set(known)
    for link in LINKS:
        names = {parameter["name"] for parameter in known[link.target].get("parameters", ())}
        assert set(link.parameters) <= names
        if link.body:
            schema = known[link.target]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert set(link.body) <= set(made["components"]["schemas"][schema.rsplit("/", 1)[1]]["properties"])


def test_the_documented_errors_are_those_that_are_raised(made: Json) -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and errors.ServiceError in kind.__bases__}
    kinds -= {
        errors.LeaseLost,
        errors.PassOn,
        errors.SourceFetchFailed,
        errors.MethodNotAllowed,
    }  # of no answer, or no operation
    kinds -= {errors.RangeNotSatisfiable}  # of downloads, and documented with them
    kinds -= {errors.NotOffered}  # of one dialect
    assert {error.kind for error in ERRORS.values()} == kinds | {errors.ServiceError}
    assert made["components"]["schemas"]["KieCode"]["enum"] == [200, *(kind.code for kind in _by_code(kinds))]
    documented = {name for _, _, operation in operations(made) for name in operation["responses"]}
    assert {int(name) for name in documented} <= {kind.code for kind in kinds} | {
        200,
        202,
        204,
        206,
        304,
        307,
        416,
        500,
        501,
        503,
    }


def _by_code(kinds: set[type[errors.ServiceError]]) -> list[type[errors.ServiceError]]:
    return sorted(kinds | {errors.ServiceError}, key=lambda kind: kind.code)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.response_prefix)
def test_every_error_is_answered_as_documented(dialect: Dialect) -> None:
    answers = {"Kie": kie_answer, "Upload": upload_answer, "MusicGpt": musicgpt_answer, "Problem": problem_answer}
    answer = answers[dialect.response_prefix]
    answered = set()
    for error in (*ERRORS.values(), *([error_of(501)] if 501 in dialect.known else [])):
        more = {errors.TooManyRequests: {"retry_after_s": 3}}.get(error.kind, {})
        raised = error.kind(dialect.words(error.kind.code), **more)
        response = answer(RequestFactory().post("/v1/tasks/0f1e2d3c4b5a69788796a5b4c3d2e1f0"), raised)
        shown = error.kind.code if response.status_code == 200 else response.status_code
        documented = {200: dialect.envelope_errors}.get(response.status_code, dialect.known)
        if (dialect.response_prefix, shown) == ("Upload", 404):  # of an unknown path only
            continue
        assert shown in documented
        answered.add(response.status_code)
        if error is error_of(shown):
            assert response.content == dialect.example(shown)
        later = (errors.TooManyRequests, errors.Draining, errors.Unavailable)
        assert ("Retry-After" in response.headers) == (error.kind in later)
    assert answered - {200} == set(dialect.known)


def test_what_is_answered_is_said_in_our_words(made: Json) -> None:
    for path, method, operation in operations(made):
        for status, response in operation["responses"].items():
            if "$ref" not in response:
                assert response["description"] != HTTPStatus(int(status)).description, f"{method} {path} {status}"
