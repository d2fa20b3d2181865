"""What describes this server to programs and their makers: OpenAPI, AsyncAPI, and a page for each error code."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from server.core.errors import ErrorCase
from server.handlers.page import POLICY, security_headers

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{code}</title><link rel="stylesheet" href="/page/docs.css">
<main class="problem"><p><code>{code}</code></p><h1>{title}</h1><p>{advice}</p>
<p>Kind: {kind}. The same request may succeed later without a change: {retryable}.</p>
<p><a href="/docs">All of the API</a></p></main></html>
"""


def mount(
    app: web.Application, openapi: Mapping[str, Any], asyncapi: Mapping[str, Any], cases: Mapping[str, ErrorCase]
) -> None:
    """Serve /openapi.json, /asyncapi.json and /problems/{code}."""
    documents = {"/openapi.json": msgspec.json.encode(openapi), "/asyncapi.json": msgspec.json.encode(asyncapi)}

    async def document(request: web.Request) -> web.Response:
        return web.Response(body=documents[request.path], content_type="application/json")

    async def problem(request: web.Request) -> web.Response:
        case = cases.get(request.match_info["code"])
        if case is None:
            raise web.HTTPNotFound
        text = _PAGE.format(
            code=html.escape(case.code),
            title=html.escape(case.title),
            advice=html.escape(case.advice),
            kind=html.escape(case.kind.replace("_", " ")),
            retryable="yes" if case.retryable else "no",
        )
        return web.Response(text=text, content_type="text/html", headers=security_headers(POLICY))

    for path in documents:
        app.router.add_get(path, document)
    app.router.add_get("/problems/{code}", problem)
