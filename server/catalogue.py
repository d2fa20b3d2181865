"""Everything the server declares, gathered: its routes, its namespaces, its error cases and their documents."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from server.core import errors, limits
from server.core.errors import ErrorCase
from server.domain.chat import models as chat_models
from server.domain.identity import models as identity_models
from server.handlers import chat as chat_routes
from server.handlers import handshake, openapi, problems
from server.handlers import identity as identity_routes
from server.handlers.http import Routes
from server.realtime import asyncapi, chat, session, sockets, typing
from server.realtime.namespace import Namespace

ROUTES: tuple[Routes, ...] = (identity_routes.routes, chat_routes.routes)
NAMESPACES: dict[str, Namespace] = {
    found.path: found for found in (session.namespace, chat.namespace, typing.namespace)
}
_DECLARING: tuple[ModuleType, ...] = (
    errors,
    limits,
    problems,
    handshake,
    sockets,
    identity_models,
    chat_models,
)


def error_cases() -> dict[str, ErrorCase]:
    """Return every error case by its code."""
    found = [case for module in _DECLARING for case in vars(module).values() if isinstance(case, ErrorCase)]
    return {case.code: case for case in sorted(found, key=lambda case: case.code)}


def openapi_document() -> dict[str, Any]:
    """Return the description of REST."""
    return openapi.document(ROUTES)


def asyncapi_document() -> dict[str, Any]:
    """Return the description of the sockets."""
    return asyncapi.document(tuple(NAMESPACES.values()))
