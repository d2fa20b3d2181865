"""The OpenAPI 3.1 document, made from the routes that serve."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec.structs import fields

from server.core.errors import FORBIDDEN, INVALID, MALFORMED, UNAUTHENTICATED, UNAVAILABLE, ErrorCase
from server.domain.identity.models import SESSION_ENDED, TOKEN_EXPIRED, TOKEN_INVALID
from server.handlers.http import Endpoint, Routes
from server.handlers.problems import BAD_REQUEST, BODY_TOO_LARGE, BODY_TOO_SLOW, NOT_JSON, STATUS, Problem

REF = "#/components/schemas/{name}"
JSON = "application/json"
PROBLEM = "application/problem+json"
SIGNED_IN = (UNAUTHENTICATED, TOKEN_EXPIRED, TOKEN_INVALID, SESSION_ENDED)
_OUTSIDE_KINDS = {BAD_REQUEST: 400, NOT_JSON: 415, BODY_TOO_LARGE: 413, BODY_TOO_SLOW: 408}


def document(routes: Sequence[Routes]) -> dict[str, Any]:
    """Describe every route: parameters, bodies, answers, and each failure with its codes."""
    endpoints = [(area.area, endpoint) for area in routes for endpoint in area.endpoints]
    types = [type_ for _, endpoint in endpoints for type_ in _types(endpoint)] + [Problem]
    found, components = msgspec.json.schema_components(types, ref_template=REF)
    schemas = iter(found)
    paths: dict[str, Any] = {}
    for area, endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(area, endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "FitSync",
            "version": "1",
            "summary": "Personal training, live.",
            "description": "Bodies are bare resources in snake_case; times are RFC 3339 in UTC; ids are UUIDv7 and may "
            "be made by the client. Failures are RFC 9457 problem documents with a stable `code`. What happens live "
            "is in asyncapi.json.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": area.area} for area in routes],
        "security": [{"access_token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "access_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a sign-in; valid for 15 minutes.",
                }
            },
        },
    }


def _types(endpoint: Endpoint) -> list[Any]:
    body = [endpoint.hints["body"]] if "body" in endpoint.hints else []
    return [*body, *([] if endpoint.answer is None else [endpoint.answer])]


def _operation(area: str, endpoint: Endpoint, schemas: Any) -> dict[str, Any]:
    summary, _, rest = (inspect.getdoc(endpoint.handler) or "").partition("\n")
    operation: dict[str, Any] = {"operationId": endpoint.handler.__name__, "tags": [area], "summary": summary}
    if rest.strip():
        operation["description"] = rest.strip()
    if endpoint.needs is None:
        operation["security"] = []
    else:
        operation["x-permission"] = str(endpoint.needs)
    parameters = _path_parameters(endpoint) + _query_parameters(endpoint)
    if parameters:
        operation["parameters"] = parameters
    if "body" in endpoint.hints:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": next(schemas)}}}
    operation["responses"] = _responses(endpoint, schemas)
    return operation


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(endpoint.hints[name])}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if "query" not in endpoint.hints:
        return []
    type_ = endpoint.hints["query"]
    properties = msgspec.json.schema(type_)["$defs"][type_.__name__]["properties"]
    return [
        {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "schema": properties[field.encode_name],
        }
        for field in fields(type_)
    ]


def _responses(endpoint: Endpoint, schemas: Any) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    answer = None if endpoint.answer is None else next(schemas)
    for status in (endpoint.status, *endpoint.also):
        responses[str(status)] = {"description": HTTPStatus(status).phrase}
        if answer is not None:
            responses[str(status)]["content"] = {JSON: {"schema": answer}}
    failures: defaultdict[int, list[ErrorCase]] = defaultdict(list)
    for case in cases_of(endpoint):
        failures[_OUTSIDE_KINDS.get(case, STATUS[case.kind])].append(case)
    for status, cases in sorted(failures.items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{case.code}` {case.title}" for case in cases),
            "content": {PROBLEM: {"schema": {"$ref": REF.format(name="Problem")}}},
        }
        if BAD_REQUEST in cases:
            # What cannot be read as a request at all never reaches us: aiohttp itself answers.
            responses[str(status)]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return responses


def cases_of(endpoint: Endpoint) -> list[ErrorCase]:
    """List every failure an endpoint can answer with."""
    cases = [*endpoint.errors, BAD_REQUEST, INVALID, UNAVAILABLE]
    if endpoint.needs is not None:
        cases += [*SIGNED_IN, FORBIDDEN]
    if "body" in endpoint.hints:
        cases += [MALFORMED, NOT_JSON, BODY_TOO_LARGE, BODY_TOO_SLOW]
    return list(dict.fromkeys(cases))
