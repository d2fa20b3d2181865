"""What every request passes: its id, its log line, its security headers, and one place where failures become answers."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from server.core.errors import INTERNAL, NOT_FOUND, DomainError
from server.core.ids import new_id
from server.handlers.problems import HTTP_CASES, problem_response

log = structlog.get_logger(__name__)
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
_REQUEST_ID = re.compile(r"^[A-Za-z0-9_.-]{8,64}$")
_QUIET = frozenset({"/health", "/ready"})


@web.middleware
async def gateway(request: web.Request, handler: Next) -> web.StreamResponse:
    """Give the request an id, answer it whatever happens, and write one line about it."""
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.match(given) else str(new_id())
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        started = time.perf_counter()
        response = await _answer(request, handler)
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            response.headers.setdefault("Referrer-Policy", "no-referrer")
        if request.path not in _QUIET:
            resource = request.match_info.route.resource
            log.info(
                "request",
                method=request.method,
                route=resource.canonical if resource else "unknown",
                status=response.status,
                ms=round((time.perf_counter() - started) * 1000, 1),
            )
        return response


async def _answer(request: web.Request, handler: Next) -> web.StreamResponse:
    try:
        return await handler(request)
    except DomainError as error:
        return problem_response(error)
    except web.HTTPNotFound:
        return problem_response(DomainError(NOT_FOUND))
    except web.HTTPException as error:
        if error.status not in HTTP_CASES:
            raise
        response = problem_response(DomainError(HTTP_CASES[error.status]), error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("request_failed", method=request.method)
        return problem_response(DomainError(INTERNAL), 500)
