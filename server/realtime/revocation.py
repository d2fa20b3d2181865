"""Sessions that have ended are closed here even if nobody told us: the bus may have been away when they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from server.core.actor import SYSTEM
from server.core.db import Database
from server.core.errors import DomainError
from server.core.ports import Bus
from server.domain.identity import actions as identity
from server.realtime.connection import Connection
from server.realtime.hub import Hub

log = structlog.get_logger(__name__)

LOOK_SECONDS = 3.0
CALM_LOOKS = 10
AT_ONCE = 1000

CloseConnection = Callable[[Connection, str], None]


class Revocation:
    """Asks the database which sessions have ended: every three seconds without the bus, now and then with it."""

    def __init__(self, hub: Hub, database: Database, bus: Bus, close: CloseConnection) -> None:
        self._hub = hub
        self._database = database
        self._bus = bus
        self._close = close

    async def run(self) -> None:
        """Look until cancelled."""
        calm = 0
        was_alive = self._bus.is_alive
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            is_alive = self._bus.is_alive
            calm = calm + 1 if is_alive and was_alive else CALM_LOOKS
            was_alive = is_alive
            if calm >= CALM_LOOKS:
                calm = 0
                await self.look()

    async def look(self) -> None:
        """Close the connections whose session has ended."""
        found = [connection for connection in self._hub.connections.values() if connection.me.session_id]
        for start in range(0, len(found), AT_ONCE):
            group = found[start : start + AT_ONCE]
            try:
                async with self._database.read(SYSTEM) as tx:
                    sessions = {connection.me.session_id for connection in group if connection.me.session_id}
                    ended = await identity.list_ended_sessions(tx, list(sessions))
            except DomainError as away:
                log.warning("revocation_waits", code=away.case.code)
                return
            for connection in group:
                if connection.me.session_id in ended:
                    self._close(connection, "session_ended")
