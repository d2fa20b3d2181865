"""Everything live in one place: the hub, who types, who is there. The `Live` port."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.core.ports import LiveEvent
from server.realtime.connection import Connection, user_topic
from server.realtime.heads import Heads
from server.realtime.hub import EVERY_INSTANCE, Close, Hello, Hub, Join
from server.realtime.presence import Presence
from server.realtime.typing import Typing

MAX_TOPICS = 1000  # of one connection, the people it watches included


class LiveHub:
    """Tells connected people, on every instance."""

    def __init__(self, hub: Hub, typing: Typing, presence: Presence, heads: Heads) -> None:
        self.hub = hub
        self.typing = typing
        self.presence = presence
        self._heads = heads
        hub.on(Join, self._join)
        hub.on(Close, self._close)

    def tell(self, topic: str, event: LiveEvent, data: object, *, at: datetime, seq: int | None = None) -> None:
        """Send one event to everybody who hears a topic."""
        self.hub.tell(topic, event, data, at=at, seq=seq)

    def join(self, user_id: UUID, topic: str) -> None:
        """Let every open connection of a person hear a topic from now on."""
        self.hub.publish(user_topic(user_id), Join(user_id, topic))

    async def settled(self) -> None:
        """Wait until everything joined so far is heard from the other instances too."""
        await self.hub.settled()

    def set_typing(self, conversation_id: UUID, user_id: UUID, typing: bool) -> None:
        """Say that a person types, or does not any more."""
        self.typing.set(conversation_id, user_id, typing)

    def close(self, session_id: UUID, user_id: UUID, code: str) -> None:
        """Close every connection of a person's sign-in session."""
        self.hub.publish(user_topic(user_id), Close(session_id, user_id, code))

    def recover(self) -> None:
        """After an outage of the bus: tell everybody how far every topic has come, and ask who is there."""
        self._heads.tell_everybody_soon()
        self.hub.publish(EVERY_INSTANCE, Hello())

    def _join(self, message: Join) -> None:
        for connection in self.hub.of_person(message.user_id):
            if len(connection.topics) < MAX_TOPICS:
                self.hub.join(connection, message.topic)
                self._heads.tell_soon(connection)

    def _close(self, message: Close) -> None:
        for connection in self.hub.of_person(message.user_id):
            if connection.me.session_id == message.session_id:
                self.close_connection(connection, message.code)

    def close_connection(self, connection: Connection, code: str) -> None:
        """Say why, and close; the client does not come back with the same session."""
        connection.sockets.dismiss(connection, code, reconnect=False)
