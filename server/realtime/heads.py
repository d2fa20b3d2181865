"""How far every topic has come, told again and again: so even the last event of a conversation cannot stay lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from uuid import UUID

import structlog

from server.core import clock
from server.core.actor import SYSTEM
from server.core.db import Database
from server.core.errors import DomainError
from server.domain.chat import actions as chat
from server.domain.chat.rules import topic_of
from server.realtime.connection import Connection
from server.realtime.hub import Hub
from server.realtime.session import SYNC_TICK, SyncTick

log = structlog.get_logger(__name__)

TICK_SECONDS = (20.0, 30.0)
AT_ONCE = 100  # so many are told without a pause: what is live waits behind them
_CONVERSATION = "conversation:"


class Heads:
    """Tells each connection the heads of the topics it hears."""

    def __init__(self, hub: Hub, database: Database) -> None:
        self._hub = hub
        self._database = database
        self._newcomers: set[Connection] = set()
        self._wanted = asyncio.Event()

    def tell_everybody_soon(self) -> None:
        """After an outage: hints were lost, nobody knows which."""
        self._newcomers.update(self._hub.connections.values())
        self._wanted.set()

    def tell_soon(self, connection: Connection) -> None:
        """A connection hears a new topic: something may have been said before it was heard here."""
        self._newcomers.add(connection)
        self._wanted.set()

    async def run(self) -> None:
        """Tell everybody every half minute, and those who need it soon, until cancelled."""
        loop_time = asyncio.get_running_loop().time
        next_round = loop_time() + random.uniform(*TICK_SECONDS)
        while True:
            try:
                async with asyncio.timeout_at(next_round):
                    await self._wanted.wait()
            except TimeoutError:
                next_round = loop_time() + random.uniform(*TICK_SECONDS)
                self.tell_everybody_soon()
            self._wanted.clear()
            await self._hub.settled()
            listeners, self._newcomers = list(self._newcomers), set()
            for start in range(0, len(listeners), AT_ONCE):
                await self.tell(listeners[start : start + AT_ONCE])

    async def tell(self, connections: Iterable[Connection]) -> None:
        """Tell some connections how far their topics have come."""
        topics = {connection.id: _conversations(connection) for connection in connections}
        wanted = set().union(*topics.values())
        if not wanted:
            return
        try:
            async with self._database.read(SYSTEM) as tx:
                heads = await chat.list_heads(tx, list(wanted))
        except DomainError as away:
            log.warning("heads_not_told", code=away.case.code)
            return
        for connection_id, mine in topics.items():
            connection = self._hub.connections.get(connection_id)
            if connection is not None and mine:
                tick = SyncTick({topic_of(id_): heads[id_] for id_ in mine if id_ in heads})
                self._hub.tell_one(connection, SYNC_TICK, tick, at=clock.now())


def _conversations(connection: Connection) -> set[UUID]:
    return {UUID(topic.removeprefix(_CONVERSATION)) for topic in connection.topics if topic.startswith(_CONVERSATION)}
