"""One open socket: who is behind it, what it hears, and its door to the database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING
from uuid import UUID

from server.core.actor import ANONYMOUS, Actor
from server.core.db import Database, Tx

if TYPE_CHECKING:
    from server.realtime.live import LiveHub

Send = Callable[[str], None]


class Connection:
    """A connection is signed in by its first CONNECT; until then `me` is nobody and it hears nothing."""

    __slots__ = ("_database", "_send", "id", "live", "me", "namespaces", "topics")

    def __init__(self, id_: str, send: Send, database: Database, live: LiveHub) -> None:
        self.id = id_
        self.live = live
        self.me: Actor = ANONYMOUS
        self.namespaces: set[str] = set()
        self.topics: set[str] = set()
        self._send = send
        self._database = database

    def send(self, namespace: str, packet: str) -> None:
        """Queue a ready packet; a namespace that was not joined is not told."""
        if namespace in self.namespaces:
            self._send(packet)

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """Open the one read-write transaction of a command."""
        return self._database.begin(self.me)

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """Open a door that only looks."""
        return self._database.read(self.me)

    def snapshot(self) -> AbstractAsyncContextManager[Tx]:
        """Open a door through which everything is seen at one moment."""
        return self._database.snapshot(self.me)

    def hears(self, topic: str) -> bool:
        """Whether this connection has joined a topic; for conversations that means membership."""
        return topic in self.topics

    @property
    def user_topic(self) -> str:
        return user_topic(self.me.id)


def user_topic(user_id: UUID) -> str:
    """Return the topic of what concerns one person alone."""
    return f"user:{user_id}"
