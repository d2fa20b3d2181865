"""Routes declared once: path, who may call, typed arguments, typed answer. OpenAPI reads the same declaration."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from aiohttp import web

from server.core import validation
from server.core.actor import ANONYMOUS, Actor
from server.core.addresses import Proxies
from server.core.db import Database, Tx
from server.core.errors import INVALID, DomainError, ErrorCase, FieldError
from server.core.group_commit import GroupCommit
from server.core.limits import Limited, Limits, refuse_after
from server.core.permissions import Permission
from server.core.ports import Passwords
from server.core.tokens import Tokens
from server.core.validation import pointer
from server.domain.chat.models import Message, Outgoing

BODY_SECONDS = 15
T = TypeVar("T")
Handler = Callable[..., Awaitable[Any]]
Authenticate = Callable[["Services", str], Awaitable[Actor]]


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may use."""

    database: Database
    tokens: Tokens
    passwords: Passwords
    sending: GroupCommit[Outgoing, Message]
    limits: Limits
    trainer_registration: bool
    proxies: Proxies


SERVICES = web.AppKey("services", Services)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: who asks, and the door to the database."""

    raw: web.Request
    me: Actor
    services: Services

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """Open the one read-write transaction of this request."""
        return self.services.database.begin(self.me)

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """Open a door that only looks."""
        return self.services.database.read(self.me)

    def snapshot(self) -> AbstractAsyncContextManager[Tx]:
        """Open a door through which everything is seen at one moment."""
        return self.services.database.snapshot(self.me)

    def limit(self, what: Limited) -> None:
        """Count what this person does, or raise `rate_limited`."""
        refuse_after(self.services.limits.take(what, self.me.id, time.monotonic()))

    @property
    def address(self) -> str:
        """Where the request comes from, seen through our own proxies."""
        # Whoever adds a header of its own adds it behind the client's: the first alone may be forged.
        forwarded_for = ",".join(self.raw.headers.getall("X-Forwarded-For", ()))
        return self.services.proxies.client(self.raw.remote or "", forwarded_for)


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """An answer with another status than the route's usual one: 200 for what was there already."""

    value: T
    status: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route. `needs` is None where everybody may call."""

    method: str
    path: str
    needs: Permission | None
    status: int
    also: tuple[int, ...]
    errors: tuple[ErrorCase, ...]
    handler: Handler
    hints: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return [name for name in inspect.signature(self.handler).parameters if name != "request"]

    @property
    def answer(self) -> Any:
        """The type of the answer's body, None when there is none."""
        returned = self.hints["return"]
        if get_origin(returned) is Reply:
            (returned,) = get_args(returned)
        return None if returned is type(None) else returned


@dataclass
class Routes:
    """The routes of one area, under /api/v1."""

    area: str
    endpoints: list[Endpoint] = field(default_factory=list)

    def get(
        self, path: str, *, needs: Permission | None, errors: tuple[ErrorCase, ...] = ()
    ) -> Callable[[Handler], Handler]:
        """Declare a GET route."""
        return self._add("GET", path, needs, 200, (), errors)

    def post(
        self,
        path: str,
        *,
        needs: Permission | None,
        status: int = 201,
        also: tuple[int, ...] = (),
        errors: tuple[ErrorCase, ...] = (),
    ) -> Callable[[Handler], Handler]:
        """Declare a POST route."""
        return self._add("POST", path, needs, status, also, errors)

    def put(
        self, path: str, *, needs: Permission | None, errors: tuple[ErrorCase, ...] = ()
    ) -> Callable[[Handler], Handler]:
        """Declare a PUT route."""
        return self._add("PUT", path, needs, 200, (), errors)

    def _add(
        self,
        method: str,
        path: str,
        needs: Permission | None,
        status: int,
        also: tuple[int, ...],
        errors: tuple[ErrorCase, ...],
    ) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            hints = get_type_hints(handler, include_extras=True)
            self.endpoints.append(Endpoint(method, f"/api/v1{path}", needs, status, also, errors, handler, hints))
            return handler

        return register

    def mount(self, app: web.Application, authenticate: Authenticate) -> None:
        """Serve these routes."""
        for endpoint in self.endpoints:
            app.router.add_route(endpoint.method, endpoint.path, _serve(endpoint, authenticate))


def _serve(endpoint: Endpoint, authenticate: Authenticate) -> Callable[[web.Request], Awaitable[web.Response]]:
    names = endpoint.names

    async def serve(raw: web.Request) -> web.Response:
        services = raw.app[SERVICES]
        me = ANONYMOUS if endpoint.needs is None else await authenticate(services, raw.headers.get("Authorization", ""))
        arguments = _place(raw, endpoint)
        if "query" in names:
            arguments["query"] = validation.convert(_query(raw), endpoint.hints["query"], strict=False)
        elif raw.query:
            unknown = (FieldError(pointer("", name), "Unknown parameter") for name in _query(raw))
            raise DomainError(INVALID, errors=tuple(unknown))
        if "body" in names:
            arguments["body"] = validation.convert(validation.parse_json(await _body(raw)), endpoint.hints["body"])
        result = await endpoint.handler(Request(raw, me, services), **arguments)
        if isinstance(result, Reply):
            return json_response(result.value, result.status)
        return json_response(result, endpoint.status)

    return serve


def _place(raw: web.Request, endpoint: Endpoint) -> dict[str, Any]:
    """Read the path's variables."""
    found: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in raw.match_info.items():
        wrong = validation.every_error(text, endpoint.hints[name], f"/{name}", strict=False)
        errors += wrong
        if not wrong:
            found[name] = msgspec.convert(text, endpoint.hints[name], strict=False)
    if errors:
        raise DomainError(INVALID, errors=tuple(errors))
    return found


def _query(raw: web.Request) -> dict[str, str]:
    """Read the query string. A name that stands there twice would leave it open which one is meant."""
    found = dict(raw.query)
    twice = [name for name in found if len(raw.query.getall(name)) > 1]
    if twice:
        raise DomainError(INVALID, errors=tuple(FieldError(pointer("", name), "Given twice") for name in twice))
    return found


async def _body(raw: web.Request) -> bytes:
    if raw.content_type != "application/json" or "Content-Encoding" in raw.headers:
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await raw.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ConnectionError, web.RequestPayloadError):
        raise web.HTTPBadRequest from None  # the client hung up, or what it sent is not what HTTP promised


def json_response(value: object, status: int = HTTPStatus.OK) -> web.Response:
    """Answer with JSON, or with an empty 204."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if status == HTTPStatus.NO_CONTENT:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json", headers=headers
    )
