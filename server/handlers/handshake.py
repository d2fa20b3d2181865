"""The opening handshake of a websocket (RFC 6455, section 4.2), and what Engine.IO asks for on top."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec
import structlog
from aiohttp import web

from server.core.errors import DomainError, ErrorCase, Kind
from server.core.ids import new_id
from server.handlers.problems import problem_response

BAD_HANDSHAKE = ErrorCase(
    "bad_handshake", Kind.INVALID, "The websocket handshake is not valid", "Use an official Socket.IO client."
)
NO_UPGRADE = ErrorCase(
    "upgrade_required",
    Kind.INVALID,
    "Only websockets are spoken here",
    'Ask for `transports: ["websocket"]` in the client, and let proxies pass `Upgrade` on.',
)
FOREIGN_ORIGIN = ErrorCase(
    "foreign_origin", Kind.FORBIDDEN, "Pages of this origin may not connect", "List the origin in ALLOWED_ORIGINS."
)

_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ONCE = frozenset(("host", "origin", "sec-websocket-key", "sec-websocket-version"))
# What Engine.IO answers, so that official clients tell what is wrong.
_ENGINE_ERRORS = {0: "Transport unknown", 1: "Session ID unknown", 5: "Unsupported protocol version"}


class Head(NamedTuple):
    """The head of a request; names of headers are in small letters, repeated ones are joined."""

    method: str
    target: str
    headers: Mapping[str, str]


class Refused(Exception):
    """The handshake is refused with this answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


def parse(raw: bytes) -> Head:
    """Read the head of a request, without its last empty line."""
    first, *lines = raw.split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or not raw.isascii():  # noqa: PLR2004
        raise refusal(BAD_HANDSHAKE, 400, "The request line is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise refusal(BAD_HANDSHAKE, 400, "A header is malformed")
        key, text = name.decode().lower(), value.strip().decode()
        if key in headers and key in _ONCE:
            raise refusal(BAD_HANDSHAKE, 400, f"{key} is given twice")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Head(parts[0].decode(), parts[1].decode(), headers)


def accept(head: Head, allowed_origins: tuple[str, ...]) -> bytes:
    """Return the answer that opens the websocket, or raise Refused."""
    _check_engine(head)
    headers = head.headers
    if head.method != "GET" or "upgrade" not in _tokens(headers, "connection"):
        raise refusal(NO_UPGRADE, 426, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    if "websocket" not in _tokens(headers, "upgrade"):
        raise refusal(NO_UPGRADE, 426, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    if headers.get("sec-websocket-version") != "13":
        raise refusal(BAD_HANDSHAKE, 426, "Only version 13 is spoken", {"Sec-WebSocket-Version": "13"})
    if not headers.get("host"):
        raise refusal(BAD_HANDSHAKE, 400, "Host is missing")
    key = headers.get("sec-websocket-key", "")
    if not _is_key(key):
        raise refusal(BAD_HANDSHAKE, 400, "Sec-WebSocket-Key is not 16 bytes in base64")
    if not is_allowed(headers.get("origin"), headers["host"], allowed_origins):
        raise refusal(FOREIGN_ORIGIN, 403)
    digest = base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT_SUFFIX, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
    )


def is_allowed(origin: str | None, host: str, allowed_origins: tuple[str, ...]) -> bool:
    """Whether pages of an origin may connect: our own and the listed ones. Apps send none."""
    if origin is None or origin in allowed_origins:
        return True
    scheme, _, place = origin.lower().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    return default is not None and bool(place) and place.removesuffix(default) == host.lower().removesuffix(default)


def path_of(target: str) -> str:
    """Return the path of a request target in origin form, which is the only one clients send to a server."""
    return target.partition("?")[0]


def refusal(
    case: ErrorCase, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
) -> Refused:
    """Refuse with a problem document."""
    with structlog.contextvars.bound_contextvars(request_id=str(new_id())):
        return refused(DomainError(case, detail), status, headers)


def refused(error: DomainError, status: int | None = None, headers: Mapping[str, str] | None = None) -> Refused:
    """Refuse for a reason from elsewhere."""
    response = problem_response(error, status)
    response.headers.update(headers or {})
    return Refused(response)


def _check_engine(head: Head) -> None:
    query = {name: values[0] for name, values in parse_qs(head.target.partition("?")[2]).items()}
    if query.get("EIO") != "4":
        raise _engine_refusal(5)
    if query.get("transport") != "websocket":
        raise _engine_refusal(0)
    if "sid" in query:
        raise _engine_refusal(1)


def _engine_refusal(code: int) -> Refused:
    body = msgspec.json.encode({"code": code, "message": _ENGINE_ERRORS[code]})
    return Refused(web.Response(status=400, body=body, content_type="application/json"))


def _tokens(headers: Mapping[str, str], name: str) -> set[str]:
    return {token.strip().lower() for token in headers.get(name, "").split(",")}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
