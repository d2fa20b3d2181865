"""One device of one person: an official Socket.IO client that remembers what it heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import socketio

from server.core.ids import new_id
from tests.waiting import eventually

NAMESPACES = {
    "sync": "/",
    "watch_presence": "/",
    "set_presence": "/",
    "send_message": "/chat",
    "mark_read": "/chat",
    "set_typing": "/typing",
}
ALL = ("/", "/chat", "/typing")

Json = dict[str, Any]


class Heard(NamedTuple):
    """An event as it came in: its name, and the envelope that is its one argument."""

    event: str
    envelope: Json

    @property
    def topic(self) -> str:
        return str(self.envelope["topic"])

    @property
    def seq(self) -> int | None:
        seq: int | None = self.envelope["seq"]
        return seq

    @property
    def data(self) -> Json:
        said: Json = self.envelope["data"]
        return said


class Device:
    """Speaks commands, and keeps every event in the order in which it came."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self.heard: list[Heard] = []
        self.refusals: dict[str, Any] = {}
        self.closed = asyncio.Event()

    async def connect(self, url: str, auth: object, namespaces: tuple[str, ...] = ALL) -> None:
        """Join these namespaces of a server; python-socketio's ConnectionError when one is refused."""
        for namespace in namespaces:
            self.client.on("*", self._hear, namespace=namespace)
            self.client.on("connect_error", partial(self._refuse, namespace), namespace=namespace)
            self.client.on("disconnect", self._close, namespace=namespace)
        await self.client.connect(
            url, auth=auth, transports=["websocket"], namespaces=list(namespaces), wait_timeout=10
        )

    async def leave(self) -> None:
        """Say goodbye and close."""
        await self.client.disconnect()

    async def ack_of(self, command: str, *arguments: object) -> Json:
        """Say a command and return its ack as it came."""
        ack: Json = await self.client.call(command, arguments, NAMESPACES.get(command, "/"), timeout=10)
        return ack

    async def do(self, command: str, **body: object) -> Any:
        """Say a command that is to be done; return the data of its ack."""
        ack = await self.ack_of(command, plain(body))
        assert ack["ok"], ack
        return ack["data"]

    async def refused(self, command: str, **body: object) -> Json:
        """Say a command that is to be refused; return the error of its ack."""
        ack = await self.ack_of(command, plain(body))
        assert not ack["ok"], ack
        error: Json = ack["error"]
        return error

    async def send(self, conversation_id: object, text: str = "Hello", client_id: UUID | None = None) -> Json:
        """Say something; return the message as the server acked it."""
        message: Json = await self.do(
            "send_message", conversation_id=conversation_id, client_id=client_id or new_id(), text=text
        )
        return message

    def all_heard(self, event: str, **wanted: object) -> list[Heard]:
        """List the events of a name whose data has these values, as they came."""
        expected = plain(wanted)
        return [
            heard
            for heard in self.heard
            if heard.event == event and all(heard.data.get(name) == value for name, value in expected.items())
        ]

    async def hears(self, event: str, within: float = 5, **wanted: object) -> Heard:
        """Wait for an event of a name whose data has these values; return the first one."""
        found = await eventually(lambda: self.all_heard(event, **wanted), within)
        return found[0]

    def messages(self, conversation_id: object) -> list[Json]:
        """List the messages of a conversation that came in as events, in the order in which they came."""
        return [heard.data for heard in self.all_heard("message.created", conversation_id=conversation_id)]

    async def hears_messages(self, conversation_id: object, count: int) -> list[Json]:
        """Wait until so many messages of a conversation came in; return them as they came."""

        def have_come() -> bool:
            return len(self.messages(conversation_id)) >= count

        await eventually(have_come)
        return self.messages(conversation_id)

    def seqs(self, conversation_id: object) -> list[int]:
        """List the places in the order of those messages."""
        return [message["seq"] for message in self.messages(conversation_id)]

    def _hear(self, event: str, *arguments: Json) -> None:
        (envelope,) = arguments
        self.heard.append(Heard(event, envelope))

    def _refuse(self, namespace: str, reason: object = None) -> None:
        self.refusals[namespace] = reason

    def _close(self, _: str) -> None:
        self.closed.set()


@asynccontextmanager
async def opened(url: str, access_token: str, namespaces: tuple[str, ...] = ALL) -> AsyncIterator[Device]:
    """Open a device of somebody who is signed in, for the length of a block."""
    device = Device()
    await device.connect(url, {"token": access_token, "protocol": 1}, namespaces)
    try:
        if "/" in namespaces:
            await device.hears("session.ready")
        yield device
    finally:
        await device.leave()


def plain(value: Any) -> Any:
    """Write ids as text, as JSON wants them."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
