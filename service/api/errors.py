"""How errors are answered: each dialect has its own envelope, all draw on the same error trees."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    HTTP_500_INTERNAL_SERVER_ERROR,
)

from pipeline.errors import AudioError, AudioLimitExceeded, PipelineError
from service.api.idempotency import REFUSED
from service.api.incoming import FORM_OVERHEAD_BYTES
from service.api.multipart import too_large_file
from service.api.wording import cut, wrong_field
from service.errors import (
    BadRequest,
    Invalid,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    StorageError,
    TooLarge,
    Unauthorized,
    Unavailable,
    is_full,
)
from service.outages import reason_of_outage

_log = logging.getLogger(__name__)

MAX_JSON_BYTES = 1_000_000  # of a request; the largest honest one is a few hundred bytes
_DISCONNECTED = "client disconnected prematurely"  # all that the framework tells it by
_PROBLEM_JSON = "application/problem+json"
# With the envelope; every other business error is HTTP 200, as upstream answers.
_REAL_STATUSES = (401, 405, 429, 500, 503)
_CODES_AS_STATUSES = {455: 503, 451: 422}  # where the status is real, of codes that upstream made up or bent
_UPLOAD_STATUSES = (401, 404, 405, 409, 413, 429, 500, 503)
_UNEXPECTED = "Something went wrong on our side; the request was not carried out."
_NO_KEY = (
    "You do not have access permissions: no key, or one that is unknown or revoked. Send it as Authorization: KEY, or "
    "Bearer KEY."
)
_AWAY = "The service's database cannot be reached just now; the request was not carried out. Try again soon."

Handler = Callable[[Request[Any, Any, Any], Exception], Response[Any]]


def failure(request: Request[Any, Any, Any], error: Exception) -> ServiceError:
    """Any exception as one of ours, with a message that may be shown."""
    request.scope["state"][REFUSED] = True
    if is_full(error):
        error = StorageError(str(error))
    if isinstance(error, StorageError):
        _log.error("%s", error.detail)
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, AudioLimitExceeded):
        return TooLarge(error.message, name=error.code)
    if isinstance(error, AudioError):
        return Invalid(error.message, name=error.code)
    if isinstance(error, PipelineError):
        return ServiceError(error.message, name=error.code)
    if isinstance(error, ValidationException):
        return Invalid(_validation_message(error), field=_invalid_field(error))
    if isinstance(error, HTTPException) and error.status_code == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        return _too_large(request)
    if isinstance(error, MethodNotAllowedException):
        allow = next(iter((error.headers or {}).values()), "")
        return MethodNotAllowed(f"{request.method} is not a method of this path; it has {allow}.", allow)
    if isinstance(error, NotFoundException):
        return NotFound(error.detail)
    if isinstance(error, HTTPException) and error.status_code < HTTP_500_INTERNAL_SERVER_ERROR:
        if isinstance(error.__cause__, SerializationException | UnicodeDecodeError):
            return BadRequest("The body is not valid JSON.")
        return BadRequest(cut(error.detail), error.status_code)  # the framework's own verdict
    if isinstance(error, SerializationException | UnicodeDecodeError | RecursionError):
        return BadRequest("The body is not valid JSON.")
    if isinstance(error, HTTPException) and error.detail == _DISCONNECTED:
        _log.info("the client went away in the middle of its request")
        return BadRequest("The request broke off.")
    if (outage := reason_of_outage(error)) is not None:
        _log.error("%s", outage)
        return Unavailable(_AWAY)
    _log.error("unexpected error", exc_info=error)
    return ServiceError(_UNEXPECTED)


def _extra(error: ValidationException) -> list[dict[str, Any]]:
    return [item for item in error.extra if isinstance(item, dict)] if isinstance(error.extra, list) else []


def _invalid_field(error: ValidationException) -> str | None:
    """The field, where it is one, that the framework found wrong."""
    names = {item.get("key") for item in _extra(error)} - {None, "data"}
    return names.pop() if len(names) == 1 else None


def _validation_message(error: ValidationException) -> str:
    extra = _extra(error)
    if any(item.get("key") in (None, "data") for item in extra):
        return "The body must be a JSON object."
    found = [wrong_field(item["message"], item["key"]) for item in extra]
    return " ".join(one[1] for one in found if one) or cut(error.detail)


def _too_large(request: Request[Any, Any, Any]) -> TooLarge:
    """For a body that is refused by its announced length alone."""
    limit = request.route_handler.resolve_request_max_body_size() or 0
    if request.headers.get("content-type", "").lower().startswith("multipart/"):  # our limit is that of the file in it
        return too_large_file(limit - FORM_OVERHEAD_BYTES)
    return TooLarge(f"The request body is larger than the limit of {limit / 1e6:g} MB.")


def kie_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"code","msg","data"}``: HTTP 200 for business errors, the real status for 401, 405, 429, 500 and 503."""
    known = failure(request, error)
    return Response(
        {"code": known.code, "msg": known.message, "data": None},
        status_code=known.code if known.code in _REAL_STATUSES else HTTP_200_OK,
        headers=known.headers,
        media_type=MediaType.JSON,
    )


def upload_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"success","code","msg"}`` with the real status; of those for wrong fields, uploads know 400 only."""
    known = failure(request, error)
    status = _CODES_AS_STATUSES.get(known.code, known.code)
    code = status if status in _UPLOAD_STATUSES else 400
    body = {"success": False, "code": code, "msg": known.message}
    return Response(body, status_code=code, headers=known.headers, media_type=MediaType.JSON)


def musicgpt_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"success","message","detail","code"}`` with the real status."""
    known = failure(request, error)
    if isinstance(known, Unauthorized):
        known = Unauthorized(_NO_KEY)
    body = {"success": False, "message": known.message, "detail": known.message, "code": known.name}
    status = _CODES_AS_STATUSES.get(known.code, known.code)
    return Response(body, status_code=status, headers=known.headers, media_type=MediaType.JSON)


def problem_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """RFC 9457 problem details, for everything that is no vendor's dialect; unknown Kie paths keep their envelope."""
    if request.url.path.startswith("/api/v1/"):
        return kie_answer(request, error)
    if request.url.path.startswith("/api/public/"):
        return musicgpt_answer(request, error)
    if request.url.path.startswith("/api/"):
        return upload_answer(request, error)
    known = failure(request, error)
    field = known.field if isinstance(known, Invalid) else None
    status = _CODES_AS_STATUSES.get(known.code, known.code)
    return Response(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": known.message,
            "instance": request.url.path,
            "code": known.name,
            **({"errors": [{"field": field, "detail": known.message}]} if field else {}),
        },
        status_code=status,
        headers=known.headers,
        media_type=_PROBLEM_JSON,
    )


def handlers(answer: Handler) -> dict[Any, Any]:
    """Exception handlers for a router that answers every error through ``answer``."""
    return {ServiceError: answer, PipelineError: answer, HTTPException: answer, Exception: answer}
