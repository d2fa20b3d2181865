"""Whether the process is alive, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from server.handlers.http import json_response

Check = Callable[[], Awaitable[bool]]


class Health(msgspec.Struct, frozen=True):
    """The state of the process or of what it depends on."""

    status: str
    checks: dict[str, bool] = {}


def mount(app: web.Application, checks: Mapping[str, Check]) -> None:
    """Serve /health and /ready. `checks` are needed to be ready; Redis is not one: without it we go on alone."""

    async def health(_: web.Request) -> web.Response:
        return json_response(Health("ok"))

    async def ready(_: web.Request) -> web.Response:
        found = {name: await check() for name, check in checks.items()}
        good = all(found.values())
        return json_response(Health("ok" if good else "unavailable", found), 200 if good else 503)

    app.router.add_get("/health", health)
    app.router.add_get("/ready", ready)
