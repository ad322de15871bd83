"""How errors are answered: each dialect has its own envelope, all draw on the same error trees."""

import logging
from collections.abc import Callable
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.status_codes import HTTP_200_OK, HTTP_500_INTERNAL_SERVER_ERROR

from pipeline.errors import AudioError, AudioLimitExceeded, PipelineError
from service.errors import BadRequest, Invalid, ServiceError, TooLarge

_log = logging.getLogger(__name__)

_PROBLEM_JSON = "application/problem+json"
_REAL_STATUSES = (401, 429)  # with the envelope; every other business error is HTTP 200, as upstream answers
_UNEXPECTED = "Something went wrong on our side; the request was not carried out."

Handler = Callable[[Request[Any, Any, Any], Exception], Response[Any]]


def failure(error: Exception) -> ServiceError:
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
    if isinstance(error, HTTPException) and error.status_code < HTTP_500_INTERNAL_SERVER_ERROR:
        return BadRequest(_client_message(error), error.status_code)  # 404, 405, 413: the framework's own verdict
    _log.error("unexpected error", exc_info=error)
    return ServiceError(_UNEXPECTED)


def _validation_message(error: ValidationException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    parts = [f"{item.get('key', 'body')}: {item['message']}" for item in extra if isinstance(item, dict)]
    return "; ".join(parts) or error.detail


def _client_message(error: HTTPException) -> str:
    if "json" in error.detail.lower() or "decod" in error.detail.lower():
        return "The body is not valid JSON."
    return error.detail


def kie_answer(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"code","msg","data"}``: HTTP 200 for business errors, the real status for 401, 429 and 5xx."""
    known = failure(error)
    real = known.code in _REAL_STATUSES or known.code == HTTP_500_INTERNAL_SERVER_ERROR
    return Response(
        {"code": known.code, "msg": known.message, "data": None},
        status_code=known.code if real else HTTP_200_OK,
        media_type=MediaType.JSON,
    )


def upload_answer(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """``{"success","code","msg"}`` with the real status; uploads know 400, 401, 413 and 500 only."""
    known = failure(error)
    code = known.code if known.code in (401, 413, 500) else 400
    return Response({"success": False, "code": code, "msg": known.message}, status_code=code, media_type=MediaType.JSON)


def problem_answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """RFC 9457 problem details, for everything that is no vendor's dialect; unknown Kie paths keep their envelope."""
    if request.url.path.startswith("/api/v1/"):
        return kie_answer(request, error)
    known = failure(error)
    return Response(
        {"title": known.message, "status": known.code, "detail": known.message},
        status_code=known.code,
        media_type=_PROBLEM_JSON,
    )


def handlers(answer: Handler) -> dict[Any, Any]:
    """Exception handlers for a router that answers every error through ``answer``."""
    return {ServiceError: answer, PipelineError: answer, HTTPException: answer, Exception: answer}
