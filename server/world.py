"""What an effect may use, tied together."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from uuid import UUID

import msgspec

from server.core.actor import SYSTEM, Actor, Role
from server.core.db import Database, Tx
from server.core.events import EventEnvelope
from server.core.ports import Bus, Live


class TheWorld:
    """The `World` port."""

    def __init__(self, database: Database, live: Live, bus: Bus) -> None:
        self.live = live
        self._database = database
        self._bus = bus

    def begin(self, me: Actor = SYSTEM) -> AbstractAsyncContextManager[Tx]:
        """Open a transaction in which an effect writes."""
        return self._database.begin(me)

    def read(self, user_id: UUID) -> AbstractAsyncContextManager[Tx]:
        """Look as somebody would who is signed in."""
        return self._database.read(Actor(user_id, Role.CLIENT))

    def publish(self, event: EventEnvelope) -> None:
        """Let other programs hear a fact on the Redis channel of its name."""
        self._bus.announce(event.type, msgspec.json.encode(event))
