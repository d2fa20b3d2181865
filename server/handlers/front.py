"""The front door: websockets are answered here at once, every other request goes on to aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol, cast

from aiohttp import web

from server.core.addresses import Proxies
from server.core.errors import DomainError
from server.handlers import handshake
from server.handlers.handshake import Head, Refused

MAX_HEAD_BYTES = 8 * 1024
HEAD_SECONDS = 10.0
_HEAD_END = b"\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_NO_PATH = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Guests(Protocol):
    """Who takes over a websocket once it is open."""

    def check_room(self, address: str) -> None:
        """Raise why no more can come in from an address."""
        ...

    def accept(self, format_: Any, transport: asyncio.Transport, address: str) -> asyncio.Protocol:
        """Take over a transport."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """Lets websockets in, if they knock as they should."""

    guests: Guests
    formats: Mapping[str, Any]
    allowed_origins: tuple[str, ...]
    proxies: Proxies
    head_seconds: float = HEAD_SECONDS

    def leads_to(self, target: str) -> bool:
        """Whether a path is one of ours."""
        return handshake.path_of(target) in self.formats

    def open(self, head: Head, transport: asyncio.Transport) -> asyncio.Protocol:
        """Answer a handshake and hand the transport over, or raise Refused."""
        answer = handshake.accept(head, self.allowed_origins)
        peer = transport.get_extra_info("peername")
        address = self.proxies.client(str(peer[0]) if peer else "", head.headers.get("x-forwarded-for", ""))
        try:
            self.guests.check_room(address)
        except DomainError as error:
            raise handshake.refused(error, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}) from None
        transport.write(answer)
        protocol = self.guests.accept(self.formats[handshake.path_of(head.target)], transport, address)
        transport.set_protocol(protocol)
        return protocol


class Front(asyncio.Protocol):
    """The first look at a new connection: waits for the head of the first request, within bounds, and decides."""

    __slots__ = ("_buffer", "_deadline", "_door", "_http", "_transport")

    def __init__(self, door: Door, http: Callable[[], asyncio.Protocol]) -> None:
        self._door = door
        self._http = http
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = asyncio.get_running_loop().call_later(self._door.head_seconds, self._refuse, _TOO_SLOW)

    def connection_lost(self, _: Exception | None) -> None:
        self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(_HEAD_END)
        if end < 0 and len(buffer) <= MAX_HEAD_BYTES:
            return
        if not 0 <= end <= MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)
            return
        self._deadline.cancel()
        target = buffer[: buffer.find(b"\r\n")].partition(b" ")[2].partition(b" ")[0].decode("latin-1")
        if "://" in target.partition("?")[0]:
            self._refuse(_NO_PATH)  # absolute targets are for proxies
        elif self._door.leads_to(target):
            self._answer(buffer[:end], buffer[end + len(_HEAD_END) :])
        else:
            self._pass_on(buffer)

    def _answer(self, head: bytes, rest: bytes) -> None:
        try:
            protocol = self._door.open(handshake.parse(head), self._transport)
        except Refused as refused:
            self._refuse(_plain(refused.response))
            return
        if rest:
            protocol.data_received(rest)

    def _pass_on(self, buffer: bytes) -> None:
        http = self._http()
        self._transport.set_protocol(http)
        http.connection_made(self._transport)
        http.data_received(buffer)

    def _refuse(self, answer: bytes) -> None:
        self._deadline.cancel()
        self._transport.write(answer)
        self._transport.close()


def mount(app: web.Application, door: Door) -> None:
    """Answer handshakes that come as a later request of a connection, as proxies with kept connections send them."""

    async def open_later(request: web.Request) -> web.Response:
        headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
        transport = request.transport
        if transport is None or request.protocol is None:
            raise ConnectionResetError
        try:
            door.open(Head(request.method, request.path_qs, headers), transport)
        except Refused as refused:
            return refused.response
        # aiohttp lets go of the transport without closing it, and of this request without answering it.
        request.protocol.transport = None
        request.protocol.connection_lost(None)
        return web.Response()

    for path in door.formats:
        app.router.add_route("*", path, open_later)


def _plain(response: web.Response) -> bytes:
    """Write an answer out, for a connection that ends with it."""
    body = cast("bytes", response.body or b"")
    reason = HTTPStatus(response.status).phrase
    fields = {**response.headers, "Content-Length": str(len(body)), "Date": "", "Connection": "close"}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join((f"HTTP/1.1 {response.status} {reason}", *lines, "", "")).encode() + body
