"""Who hears what, on this instance; and the road to those who listen on the others.

A message between instances carries the packet ready to be sent: it is encoded once, wherever it is heard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog

from server.core.ports import Bus, LiveEvent
from server.realtime.connection import Connection
from server.realtime.wire import Envelope, event_text

log = structlog.get_logger(__name__)
M = TypeVar("M", bound=msgspec.Struct)


class Tell(msgspec.Struct, frozen=True, array_like=True, tag="tell"):
    """A packet for everybody who hears a topic."""

    topic: str
    namespace: str
    packet: str


class Join(msgspec.Struct, frozen=True, array_like=True, tag="join"):
    """Every connection of a person hears a topic from now on."""

    user_id: UUID
    topic: str


class Close(msgspec.Struct, frozen=True, array_like=True, tag="close"):
    """The connections of a person's sign-in session are closed."""

    session_id: UUID
    user_id: UUID
    code: str


class Typed(msgspec.Struct, frozen=True, array_like=True, tag="typed"):
    """Somebody types, or has stopped."""

    conversation_id: UUID
    user_id: UUID
    typing: bool


class Present(msgspec.Struct, frozen=True, array_like=True, tag="present"):
    """How present some people are on one instance: None is gone. Times are seconds since 1970."""

    instance: str
    states: list[tuple[UUID, str | None, float]]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """An instance has come up and asks the others who is present."""


class Farewell(msgspec.Struct, frozen=True, array_like=True, tag="farewell"):
    """An instance goes down; its people may come back on another one."""

    instance: str


# The topic that every instance hears.
EVERY_INSTANCE = "instances"

BusMessage = Tell | Join | Close | Typed | Present | Hello | Farewell
_DECODER: msgspec.msgpack.Decoder[BusMessage] = msgspec.msgpack.Decoder(BusMessage)


class Hub:
    """The connections of this instance by topic, person and sign-in session."""

    def __init__(self, bus: Bus) -> None:
        self.connections: dict[str, Connection] = {}
        self._bus = bus
        self._topics: defaultdict[str, set[Connection]] = defaultdict(set)
        self._heard: set[str] = set()
        self._people: defaultdict[UUID, set[Connection]] = defaultdict(set)
        self._listeners: dict[type[Any], Callable[[Any], None]] = {
            Tell: lambda message: self._deliver(message.topic, message.namespace, message.packet),
        }
        bus.hear(EVERY_INSTANCE)

    def on(self, message: type[M], listener: Callable[[M], None]) -> None:
        """Let somebody hear one kind of message between instances, our own included."""
        self._listeners[message] = listener

    def publish(self, topic: str, message: BusMessage) -> None:
        """Send a message to every instance that hears a topic: here at once, elsewhere through the bus."""
        self._bus.publish(topic, msgspec.msgpack.encode(message))
        self._listeners[type(message)](message)

    async def settled(self) -> None:
        """Wait until every topic joined so far is heard from the other instances too."""
        await self._bus.settled()

    def receive(self, raw: bytes) -> None:
        """Take a message of another instance."""
        try:
            message = _DECODER.decode(raw)
        except msgspec.ValidationError as unknown:
            # Another release says what we do not know yet: its own clients hear it, ours catch up by seq.
            log.info("bus_message_unknown", reason=str(unknown)[:100])
            return
        self._listeners[type(message)](message)

    def tell(self, topic: str, event: LiveEvent, data: object, *, at: datetime, seq: int | None = None) -> None:
        """Send one event to everybody who hears a topic, on every instance."""
        self.publish(topic, Tell(topic, event.namespace, _packet(topic, event, data, at, seq)))

    def tell_here(self, topic: str, event: LiveEvent, data: object, *, at: datetime) -> None:
        """Send one event to everybody who hears a topic on this instance."""
        self._deliver(topic, event.namespace, _packet(topic, event, data, at, None))

    def tell_one(self, connection: Connection, event: LiveEvent, data: object, *, at: datetime) -> None:
        """Send one event to one connection."""
        packet = _packet(connection.user_topic, event, data, at, None)
        connection.send(event.namespace, packet)

    def add(self, connection: Connection) -> None:
        """Take in a connection that is signed in; from here on it hears what concerns its person."""
        self.connections[connection.id] = connection
        self._people[connection.me.id].add(connection)
        self.join(connection, connection.user_topic)

    def remove(self, connection: Connection) -> None:
        """Let a connection go."""
        if self.connections.pop(connection.id, None) is None:
            return
        for topic in connection.topics:
            _discard(self._topics, topic, connection)
            if topic in self._heard and topic not in self._topics:
                self._heard.discard(topic)
                self._bus.forget(topic)
        connection.topics.clear()
        _discard(self._people, connection.me.id, connection)

    def join(self, connection: Connection, topic: str) -> None:
        """Let one connection hear a topic. The caller has asked whether it may."""
        if connection.id in self.connections and topic not in self._heard:
            self._heard.add(topic)
            self._bus.hear(topic)
        self.join_here(connection, topic)

    def join_here(self, connection: Connection, topic: str) -> None:
        """Let one connection hear a topic of which only this instance speaks."""
        if connection.id in self.connections:
            connection.topics.add(topic)
            self._topics[topic].add(connection)

    def of_person(self, user_id: UUID) -> list[Connection]:
        """List the open connections of a person on this instance."""
        return list(self._people.get(user_id, ()))

    def _deliver(self, topic: str, namespace: str, packet: str) -> None:
        for connection in self._topics.get(topic, ()):
            connection.send(namespace, packet)


def _packet(topic: str, event: LiveEvent, data: object, at: datetime, seq: int | None) -> str:
    return event_text(event.namespace, event.name, msgspec.json.encode(Envelope(topic, seq, at, data)))


def _discard(index: defaultdict[Any, set[Connection]], key: object, connection: Connection) -> None:
    members = index.get(key)
    if members is not None:
        members.discard(connection)
        if not members:
            del index[key]
