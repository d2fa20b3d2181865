"""A client that speaks bare TCP, and a server whose inside is in view."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from server.realtime.connection import Connection
from server.realtime.frames import CLOSE, TEXT, unmask
from server.realtime.sockets import Sockets
from tests.given import Given
from tests.servers import Server

PATH = "/socket.io/?EIO=4&transport=websocket"
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server, and its inside."""

    server: Server
    sockets: Sockets
    given: Given

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def only(self) -> Connection:
        """The one open connection."""
        (connection,) = self.sockets.open
        return connection


def handshake(path: str = PATH, **changed: str | None) -> bytes:
    """Write the head of an upgrade; names of headers have underscores, None leaves one out."""
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join((f"GET {path} HTTP/1.1", *lines, "", "")).encode()


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """Make one frame as a client sends it."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    if size > 0xFFFF:
        length = bytes([0xFF]) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    return bytes([0x80 | opcode]) + length + mask + unmask(payload, mask)


class Peer:
    """The other end of a connection, byte by byte; it reads only when asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, url: str, *, receive_buffer: int | None = None, limit: int = 1 << 16) -> Peer:
        """Open a TCP connection and say nothing."""
        place = urlsplit(url)
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, (place.hostname, place.port))
        return cls(*await asyncio.open_connection(sock=raw, limit=limit))

    async def open(self, path: str = PATH) -> None:
        """Open a websocket and read Engine.IO's first packet."""
        self.write(handshake(path))
        assert (await self.head()).startswith("HTTP/1.1 101")
        assert (await self.frame())[1].startswith(b"0{")

    def write(self, raw: bytes) -> None:
        self.writer.write(raw)

    def say(self, text: str | bytes) -> None:
        """Send one text frame."""
        self.write(masked(text.encode() if isinstance(text, str) else text))

    async def connect(self, token: str) -> None:
        """Join `/` and read until the session stands."""
        self.say(f'40{{"token":"{token}"}}')
        await self.until('42["session.ready"')

    async def head(self) -> str:
        """Read the head of an HTTP answer."""
        async with asyncio.timeout(PATIENCE):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def frame(self) -> tuple[int, bytes]:
        """Read one frame."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self.reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return first & 15, await self.reader.readexactly(size)

    async def until(self, start: str) -> bytes:
        """Read up to the text that begins so; return the rest of it."""
        while True:
            _, payload = await self.frame()
            if payload.startswith(start.encode()):
                return payload.removeprefix(start.encode())

    async def ack(self, number: int) -> dict[str, Any]:
        """Read up to an ack on `/`."""
        (found,) = msgspec.json.decode(await self.until(f"43{number}"))
        return dict(found)

    async def closed(self) -> int:
        """Read up to the close frame and the end that follows it; return the code."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                break
        async with asyncio.timeout(PATIENCE):
            assert await self.reader.read() == b""
        await self.leave()
        return int.from_bytes(payload[:2], "big")

    def stop_reading(self) -> None:
        """Take nothing more from the kernel."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def read_on(self) -> None:
        """Take what has come meanwhile."""
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    async def leave(self) -> None:
        """Hang up without a word."""
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
