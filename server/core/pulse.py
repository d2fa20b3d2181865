"""Notices that PostgreSQL has fallen silent: a dead network closes no connection, and a statement may take its time.

Only a question that takes no time can tell the two apart. It is asked on a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog

log = structlog.get_logger(__name__)

PULSE_SECONDS = 0.2
SILENCE_SECONDS = 0.5
LAG_SECONDS = 0.05
CONNECT_SECONDS = 2.0
LATELY_SECONDS = 0.25


class Pulse:
    """Feels whether PostgreSQL answers. A closed connection or a refused one is an answer too.

    A machine with too much to do makes one answer late, but hardly all of them: whoever hears another one says so.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self.is_silent = False
        self._connect = connect
        self._connection: Any = None
        self._heard_at = float("-inf")

    def heard(self) -> None:
        """PostgreSQL has just answered somebody."""
        self._heard_at = asyncio.get_running_loop().time()

    async def feel(self, fallen_silent: Callable[[], Awaitable[None]]) -> None:
        """Ask again and again until cancelled; call back when no answer comes."""
        try:
            while True:
                was_silent, self.is_silent = self.is_silent, not await self._answers()
                if self.is_silent and not was_silent:
                    log.warning("postgres_silent")
                    await fallen_silent()
                elif was_silent and not self.is_silent:
                    log.info("postgres_answers")
                await asyncio.sleep(PULSE_SECONDS)
        finally:
            self._give_up()

    async def _answers(self) -> bool:
        # To start a connection takes the other side some work: that it is slow does not mean that it is silent.
        is_fresh = self._connection is None and not self.is_silent
        asking = asyncio.create_task(self._ask())
        try:
            await asyncio.wait({asking}, timeout=CONNECT_SECONDS if is_fresh else SILENCE_SECONDS)
            if not asking.done():
                # When it is we who were late, the answer lies there already.
                await asyncio.wait({asking}, timeout=LAG_SECONDS)
            return asking.done() or self._heard_at > asyncio.get_running_loop().time() - LATELY_SECONDS
        finally:
            if not asking.done():
                self._give_up()
                asking.cancel()
                await asyncio.wait({asking})

    async def _ask(self) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            await self._connection.fetchval("SELECT true")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            self._give_up()

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
