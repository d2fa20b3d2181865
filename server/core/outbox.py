"""The relay: after each commit, run the effects of every event in the outbox. At least once, oldest first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from server.core.actor import SYSTEM
from server.core.db import Database, Tx, outbox
from server.core.errors import UNAVAILABLE, DomainError
from server.core.events import Event, EventEnvelope, name_of
from server.core.ports import World

log = structlog.get_logger(__name__)
Effect = Callable[[World, UUID, Any], Awaitable[None]]
Effects = Mapping[type[Event], tuple[Effect, ...]]

BATCH = 100
IDLE_SECONDS = 1.0
# Together less than the 5 s after which PostgreSQL ends a transaction that idles (server/core/db.py): it idles while
# effects run, and if it were ended, the same events would be relayed again for ever.
BATCH_SECONDS = 1.5
EFFECT_SECONDS = 3.0
MAX_ATTEMPTS = 12
FIRST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(minutes=10)


class QueuedEvent(msgspec.Struct, frozen=True):
    """A row of the outbox."""

    id: UUID
    type: str
    occurred_at: datetime
    actor_id: UUID | None
    gym_id: UUID | None
    data: dict[str, Any]
    attempts: int


class Relay:
    """Runs effects. Events with a journal of their own come straight from the commit; the rest from the outbox."""

    def __init__(self, database: Database, world: World, effects: Effects) -> None:
        self._database = database
        self._world = world
        self._effects = effects
        self._types = {name_of(type_): type_ for type_ in effects}
        self._wanted = asyncio.Event()
        database.after_commit = self.after_commit

    async def after_commit(self, journaled: list[tuple[UUID, Event]], queued: bool) -> None:
        """Take over from a transaction that has just been committed."""
        if queued:
            self._wanted.set()
        for event_id, event in journaled:
            try:
                await self._run(event_id, event)
            except Exception:  # the commit stands: whoever missed the effect reads the journal
                log.exception("effect_failed", event_type=name_of(event), event_id=str(event_id))

    async def run(self) -> None:
        """Relay until cancelled. A database that is away is asked again every second."""
        while True:
            try:
                while await self.drain():
                    pass
            except DomainError as away:
                log.warning("relay_waits", code=away.case.code)
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()

    async def drain(self) -> int:
        """Relay one batch; return how many events it took. When an effect finds the database away, the rest waits."""
        away: DomainError | None = None
        taken = 0
        until = asyncio.get_running_loop().time() + BATCH_SECONDS
        async with self._database.begin(SYSTEM) as tx:
            done = []
            for event in await tx.many(QueuedEvent, outbox.claim_events, limit=BATCH):
                try:
                    if await self._relay(tx, event):
                        done.append(event.id)
                except DomainError as unavailable:
                    away = unavailable
                    break
                taken += 1
                if asyncio.get_running_loop().time() > until:
                    break
            if done:
                await tx.run(outbox.delete_events, ids=done)
        if away is not None:
            raise away
        return taken

    async def _relay(self, tx: Tx, queued: QueuedEvent) -> bool:
        try:
            event = msgspec.convert(queued.data, self._types[queued.type])
            async with asyncio.timeout(EFFECT_SECONDS):
                await self._run(queued.id, event)
            self._world.publish(
                EventEnvelope(
                    queued.id,
                    queued.type,
                    queued.occurred_at,
                    queued.actor_id,
                    queued.gym_id,
                    msgspec.Raw(msgspec.json.encode(queued.data)),
                )
            )
        except Exception as failure:  # an effect may fail in any way; the event is kept
            if isinstance(failure, DomainError) and failure.case is UNAVAILABLE:
                raise
            await self._postpone(tx, queued, failure)
            return False
        return True

    async def _run(self, event_id: UUID, event: Event) -> None:
        for effect in self._effects[type(event)]:
            await effect(self._world, event_id, event)

    async def _postpone(self, tx: Tx, queued: QueuedEvent, failure: Exception) -> None:
        attempts = queued.attempts + 1
        dead = attempts >= MAX_ATTEMPTS
        log.error(
            "event_died" if dead else "event_postponed",
            exc_info=failure,
            event_type=queued.type,
            event_id=str(queued.id),
            attempts=attempts,
        )
        await tx.run(
            outbox.postpone_event,
            id=queued.id,
            delay=retry_delay(attempts, random.random()),
            died_at=tx.now if dead else None,
            last_error=f"{type(failure).__name__}: {failure}"[:500],
        )


def retry_delay(attempts: int, chance: float) -> timedelta:
    """Double with each attempt up to ten minutes, then take between half and all of it (`chance` in 0..1)."""
    doublings = min(attempts - 1, 20)
    longest: timedelta = min(FIRST_RETRY * 2**doublings, LONGEST_RETRY)
    return longest * (0.5 + chance / 2)
