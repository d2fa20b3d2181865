"""Failures as RFC 9457 problem documents. The only place that knows the HTTP status of a failure."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import msgspec
import structlog
from aiohttp import web

from server.core.errors import DomainError, ErrorCase, FieldError, Kind

STATUS = {
    Kind.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Kind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Kind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Kind.CONFLICT: HTTPStatus.CONFLICT,
    Kind.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
    Kind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}

# What HTTP itself refuses before an action is reached; the status is not that of the kind.
METHOD_NOT_ALLOWED = ErrorCase(
    "method_not_allowed", Kind.NOT_FOUND, "This path has no such method", "The `Allow` header lists the methods."
)
BODY_TOO_LARGE = ErrorCase("body_too_large", Kind.INVALID, "The body is too large", "The limit is MAX_BODY_BYTES.")
BODY_TOO_SLOW = ErrorCase("body_too_slow", Kind.INVALID, "The body did not arrive in time", "Send it within 15 s.")
NOT_JSON = ErrorCase(
    "not_json", Kind.INVALID, "The body is not JSON", "Send `Content-Type: application/json`, uncompressed."
)
BAD_REQUEST = ErrorCase("bad_request", Kind.INVALID, "The request is not valid HTTP", "Check the request line.")

HTTP_CASES = {
    400: BAD_REQUEST,
    405: METHOD_NOT_ALLOWED,
    408: BODY_TOO_SLOW,
    413: BODY_TOO_LARGE,
    415: NOT_JSON,
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failure. `code` is stable; `retryable` says whether the same request may succeed later."""

    type: str
    title: str
    status: int
    code: str
    retryable: bool
    request_id: str
    detail: str | None = None
    retry_after_ms: int | None = None
    errors: tuple[FieldError, ...] = ()


def problem_response(error: DomainError, status: int | None = None) -> web.Response:
    """Answer with a problem document, and with the headers that belong to the status."""
    status = status or STATUS[error.case.kind]
    headers = {"Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after.total_seconds())))
    found = Problem(
        type=f"/problems/{error.case.code}",
        title=error.case.title,
        status=status,
        code=error.case.code,
        retryable=error.case.retryable,
        request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
        detail=error.detail,
        retry_after_ms=None if error.retry_after is None else error.retry_after // timedelta(milliseconds=1),
        errors=error.errors,
    )
    return web.Response(
        status=status, body=msgspec.json.encode(found), content_type="application/problem+json", headers=headers
    )
