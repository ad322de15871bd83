"""How errors are answered: each dialect has its own envelope, all draw on the same error trees."""

import logging
from collections.abc import Callable
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, SerializationException, ValidationException
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    HTTP_500_INTERNAL_SERVER_ERROR,
)

from pipeline.errors import AudioError, AudioLimitExceeded, PipelineError
from service.errors import BadRequest, Invalid, NotFound, ServiceError, TooLarge

_log = logging.getLogger(__name__)

MAX_JSON_BYTES = 1_000_000  # of a request; the largest honest one is a few hundred bytes
_DISCONNECTED = "client disconnected prematurely"  # all that the framework tells it by
_PROBLEM_JSON = "application/problem+json"
_REAL_STATUSES = (401, 429)  # with the envelope; every other business error is HTTP 200, as upstream answers
_UNEXPECTED = "Something went wrong on our side; the request was not carried out."

Handler = Callable[[Request[Any, Any, Any], Exception], Response[Any]]


def failure(request: Request[Any, Any, Any], error: Exception) -> ServiceError:
    """Any exception as one of ours, with a message that may be shown."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, AudioLimitExceeded):
        return TooLarge(error.message)
    if isinstance(error, AudioError):
        return Invalid(error.message)
    if isinstance(error, PipelineError):
        return ServiceError(error.message)
    if isinstance(error, ValidationException):
        return Invalid(_validation_message(error))
    if isinstance(error, HTTPException) and error.status_code == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        limit = request.route_handler.resolve_request_max_body_size()
        return TooLarge(f"The request body is larger than the limit of {(limit or 0) / 1e6:g} MB.")
    if isinstance(error, MethodNotAllowedException):
        return NotFound(f"{request.method} is not a method of this path.")
    if isinstance(error, HTTPException) and error.status_code < HTTP_500_INTERNAL_SERVER_ERROR:
        if isinstance(error.__cause__, SerializationException | UnicodeDecodeError):
            return BadRequest("The body is not valid JSON.")
        return BadRequest(error.detail, error.status_code)  # 404 and the like: the framework's own verdict
    if isinstance(error, SerializationException | UnicodeDecodeError | RecursionError):
        return BadRequest("The body is not valid JSON.")
    if isinstance(error, HTTPException) and error.detail == _DISCONNECTED:
        _log.info("%s %s: the client went away in the middle of its request", request.method, request.url.path)
        return BadRequest("The request broke off.")
    _log.error("unexpected error", exc_info=error)
    return ServiceError(_UNEXPECTED)


def _validation_message(error: ValidationException) -> str:
    extra = [item for item in error.extra if isinstance(item, dict)] if isinstance(error.extra, list) else []
    if any(item.get("key") in (None, "data") for item in extra):
        return "The body must be a JSON object."
    return "; ".join(f"{item['key']}: {item['message']}" for item in extra) or error.detail


def kie_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"code","msg","data"}``: HTTP 200 for business errors, the real status for 401, 429 and 5xx."""
    known = failure(request, error)
    real = known.code in _REAL_STATUSES or known.code == HTTP_500_INTERNAL_SERVER_ERROR
    return Response(
        {"code": known.code, "msg": known.message, "data": None},
        status_code=known.code if real else HTTP_200_OK,
        media_type=MediaType.JSON,
    )


def upload_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"success","code","msg"}`` with the real status; uploads know 400, 401, 404, 413 and 500 only."""
    known = failure(request, error)
    code = known.code if known.code in (401, 404, 413, 500) else 400
    return Response({"success": False, "code": code, "msg": known.message}, status_code=code, media_type=MediaType.JSON)


def problem_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """RFC 9457 problem details, for everything that is no vendor's dialect; unknown Kie paths keep their envelope."""
    if request.url.path.startswith("/api/v1/"):
        return kie_answer(request, error)
    if request.url.path.startswith("/api/"):
        return upload_answer(request, error)
    known = failure(request, error)
    return Response(
        {"title": known.message, "status": known.code, "detail": known.message},
        status_code=known.code,
        media_type=_PROBLEM_JSON,
    )


def handlers(answer: Handler) -> dict[Any, Any]:
    """Exception handlers for a router that answers every error through ``answer``."""
    return {ServiceError: answer, PipelineError: answer, HTTPException: answer, Exception: answer}
