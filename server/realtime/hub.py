"""Who hears what, on this instance; and the road to those who listen on the others.

An event is encoded once where it happens, framed once per format wherever somebody hears it, and then only handed on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
import structlog

from server.core.ports import Bus, LiveEvent, Shedding
from server.realtime.formats import FORMATS, Format
from server.realtime.wire import Envelope

if TYPE_CHECKING:
    from server.realtime.connection import Connection

log = structlog.get_logger(__name__)
M = TypeVar("M", bound=msgspec.Struct)


class Tell(msgspec.Struct, frozen=True, array_like=True, tag="tell"):
    """An event for everybody who hears a topic; the envelope is JSON already."""

    topic: str
    namespace: str
    event: str
    envelope: bytes
    shedding: Shedding = Shedding.KEPT


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
        self._topics: dict[Format, defaultdict[str, set[Connection]]] = {one: defaultdict(set) for one in FORMATS}
        self._heard: set[str] = set()
        self._people: defaultdict[UUID, dict[Connection, None]] = defaultdict(dict)  # in the order they came
        self._listeners: dict[type[Any], Callable[[Any], None]] = {Tell: self._deliver}
        bus.hear(EVERY_INSTANCE)

    def on(self, message: type[M], listener: Callable[[M], None]) -> None:
        """Let somebody hear one kind of message between instances, our own included."""
        self._listeners[message] = listener

    def publish(self, topic: str, message: BusMessage) -> None:
        """Send a message to every instance that hears a topic: here at once, elsewhere through the bus."""
        self.publish_elsewhere(topic, message)
        self._listeners[type(message)](message)

    @property
    def has_others(self) -> bool:
        """Whether there can be other instances."""
        return self._bus.has_others

    def publish_elsewhere(self, topic: str, message: BusMessage) -> None:
        """Send a message to the other instances that hear a topic."""
        if self._bus.has_others:
            self._bus.publish(topic, msgspec.msgpack.encode(message))

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
        self.publish(topic, _tell(topic, event, data, at, seq))

    def tell_here(self, topic: str, event: LiveEvent, data: object, *, at: datetime) -> None:
        """Send one event to everybody who hears a topic on this instance."""
        if self._is_heard_here(topic):
            self._deliver(_tell(topic, event, data, at, None))

    def tell_one(self, connection: Connection, event: LiveEvent, data: object, *, at: datetime) -> None:
        """Send one event to one connection."""
        if event.namespace in connection.namespaces:
            told = _tell(connection.user_topic, event, data, at, None)
            connection.send(connection.format.event(told.namespace, told.event, told.envelope))

    def add(self, connection: Connection) -> None:
        """Take in a connection that is signed in; from here on it hears what concerns its person."""
        self.connections[connection.id] = connection
        self._people[connection.me.id][connection] = None
        self.join(connection, connection.user_topic)

    def remove(self, connection: Connection) -> None:
        """Let a connection go. It costs as much as the connection has topics, not as many as there are."""
        if self.connections.pop(connection.id, None) is None:
            return
        topics = self._topics[connection.format]
        for topic in connection.topics:
            members = topics[topic]
            members.discard(connection)
            if not members:
                del topics[topic]
                if topic in self._heard and not self._is_heard_here(topic):
                    self._heard.discard(topic)
                    self._bus.forget(topic)
        connection.topics.clear()
        devices = self._people[connection.me.id]
        devices.pop(connection, None)
        if not devices:
            del self._people[connection.me.id]

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
            self._topics[connection.format][topic].add(connection)

    def of_person(self, user_id: UUID) -> list[Connection]:
        """List the open connections of a person on this instance, the oldest first."""
        return list(self._people.get(user_id, ()))

    def _is_heard_here(self, topic: str) -> bool:
        return any(topic in topics for topics in self._topics.values())

    def _deliver(self, told: Tell) -> None:
        """Hand an event to everybody here who hears its topic. Sending removes nobody: the sets stand still."""
        namespace = told.namespace
        for format_, topics in self._topics.items():
            members = topics.get(told.topic)
            if not members:
                continue
            ready = format_.event(namespace, told.event, told.envelope)
            if told.shedding is Shedding.KEPT:
                for connection in members:
                    if namespace in connection.namespaces:
                        connection.send(ready)
            else:
                for connection in members:
                    if namespace in connection.namespaces and not connection.leaves_out(told.shedding):
                        connection.send(ready)


def _tell(topic: str, event: LiveEvent, data: object, at: datetime, seq: int | None) -> Tell:
    return Tell(topic, event.namespace, event.name, msgspec.json.encode(Envelope(topic, seq, at, data)), event.shedding)
