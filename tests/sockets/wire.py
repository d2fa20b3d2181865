"""A bare websocket that can say anything, well-formed or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from tests.servers import Server

PATH = "/socket.io/?EIO=4&transport=websocket"
PATIENCE = 5


class Closed(Exception):
    """The server has closed the connection."""


class Wire:
    """Sends frames as they are, and reads packets: texts that begin with the digits of Engine.IO and Socket.IO."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, frame: str | bytes) -> None:
        """Send one frame. A connection that the server has just closed takes it in silence."""
        if isinstance(frame, str):
            await self.socket.send_str(frame)
        else:
            await self.socket.send_bytes(frame)

    async def packet(self) -> str:
        """Return the next packet other than a ping; raise Closed when the connection ends instead."""
        while True:
            frame = await self.socket.receive(PATIENCE)
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise Closed(frame)
            text = str(frame.data)
            if text == "1":
                raise Closed(text)
            if text != "2":
                return text
            await self.say("3")

    async def until(self, start: str) -> Any:
        """Skip to the packet that begins so; return the JSON after its beginning."""
        while True:
            text = await self.packet()
            if text.startswith(start):
                return msgspec.json.decode(text.removeprefix(start))

    async def event(self, name: str) -> dict[str, Any]:
        """Skip to an event on `/` and return its envelope."""
        while True:
            said, envelope = await self.until("42")
            if said == name:
                return dict(envelope)

    async def connect(self, access_token: str, namespace: str = "/") -> None:
        """Join a namespace."""
        place = "" if namespace == "/" else f"{namespace},"
        await self.say(f"40{place}{msgspec.json.encode({'token': access_token}).decode()}")
        await self.until(f"40{place}")

    async def call(self, ack_id: int, *arguments: object, namespace: str = "/") -> dict[str, Any]:
        """Send an event as JSON and return its ack."""
        place = "" if namespace == "/" else f"{namespace},"
        await self.say(f"42{place}{ack_id}{msgspec.json.encode(arguments).decode()}")
        (ack,) = await self.until(f"43{place}{ack_id}")
        found: dict[str, Any] = ack
        return found

    async def is_closed(self) -> bool:
        """Whether the server closes the connection; what it says before does not matter."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.packet()
        except Closed:
            return True
        except TimeoutError:
            return False


@asynccontextmanager
async def wired(server: Server, road: str = "") -> AsyncIterator[Wire]:
    """Open a websocket, over a road if one is given, and read the packet with which the server opens."""
    async with server.http.ws_connect(f"{road or server.url}{PATH}") as socket:
        wire = Wire(socket)
        assert (await wire.packet()).startswith('0{"sid":')
        yield wire
