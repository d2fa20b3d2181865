"""The outbox and its relay: what was committed is told at least once, what was not is never told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from server.core.actor import SYSTEM, Actor, Role
from server.core.db import Database, Tx, connected
from server.core.errors import FORBIDDEN, DomainError
from server.core.events import Event, EventEnvelope
from server.core.ids import new_id
from server.core.outbox import BATCH, MAX_ATTEMPTS, Effect, Relay
from server.core.ports import Live
from server.domain.chat.models import MessageRead, Receipt
from server.domain.identity.models import UserRegistered, UserUpdated
from tests.databases import FreshDatabase
from tests.waiting import eventually

Told = list[tuple[UUID, Event]]


class OutsideWorld:
    """The `World` port: remembers what other programs would hear. The effects of these tests use nothing else of it."""

    def __init__(self) -> None:
        self.published: list[EventEnvelope] = []

    @property
    def live(self) -> Live:
        raise AssertionError("an effect of these tests tells nobody")

    def begin(self, me: Actor = SYSTEM) -> AbstractAsyncContextManager[Tx]:
        raise AssertionError(f"no effect of these tests writes, not even as {me.id}")

    def read(self, user_id: UUID) -> AbstractAsyncContextManager[Tx]:
        raise AssertionError(f"no effect of these tests looks, not even as {user_id}")

    def publish(self, event: EventEnvelope) -> None:
        self.published.append(event)


class Outbox:
    """A database of its own, with relays on it."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database
        self.world = OutsideWorld()
        self.told: Told = []

    async def tell(self, _: object, event_id: UUID, event: Event) -> None:
        """An effect that works."""
        self.told.append((event_id, event))

    def relay(self, *effects: Effect, database: Database | None = None) -> Relay:
        """Return a relay that runs these effects, or `tell`."""
        found = effects or (self.tell,)
        return Relay(database or self.database, self.world, {UserRegistered: found, MessageRead: found})

    async def emit(self, count: int = 1, database: Database | None = None) -> list[UserRegistered]:
        """Commit events."""
        events = [UserRegistered(user_id=new_id(), role=Role.CLIENT) for _ in range(count)]
        async with (database or self.database).begin(Actor(UUID(int=7), Role.CLIENT, UUID(int=8))) as tx:
            for event in events:
                await tx.emit(event)
        return events

    async def rows(self) -> list[Any]:
        return await self.sql("SELECT type, attempts, due_at > now() AS waits, died_at, last_error FROM outbox")

    async def end_the_wait(self) -> None:
        await self.sql("UPDATE outbox SET due_at = now()")

    async def sql(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()


@pytest.fixture
async def outbox(fresh_database: FreshDatabase) -> AsyncIterator[Outbox]:
    url = await fresh_database()
    async with connected(url, size=4) as database:
        yield Outbox(url, database)


@pytest.fixture
async def other_database(outbox: Outbox) -> AsyncIterator[Database]:
    """Return the door of another instance to the same database."""
    async with connected(outbox.url, size=4) as database:
        yield database


async def test_effects_run_once_for_each_committed_event_in_their_order(outbox: Outbox) -> None:
    events = await outbox.emit(3)
    relay = outbox.relay()
    assert await relay.drain() == 3
    assert [event for _, event in outbox.told] == events
    assert (await relay.drain(), await outbox.rows(), len(outbox.told)) == (0, [], 3)


async def test_all_effects_of_an_event_run_and_then_other_programs_hear_it(outbox: Outbox) -> None:
    (event,) = await outbox.emit()
    await outbox.relay(outbox.tell, outbox.tell).drain()
    ((event_id, told), (again, _)) = outbox.told
    assert (told, again) == (event, event_id)
    (envelope,) = outbox.world.published
    assert (envelope.id, envelope.type) == (event_id, "user.registered")
    assert (envelope.actor_id, envelope.gym_id) == (UUID(int=7), UUID(int=8))
    assert datetime.now(UTC) - envelope.occurred_at < timedelta(minutes=1)
    assert str(event.user_id).encode() in bytes(envelope.data)


async def test_what_is_rolled_back_has_not_happened(outbox: Outbox) -> None:
    async def change_their_mind() -> None:
        async with outbox.database.begin(SYSTEM) as tx:
            await tx.emit(UserRegistered(user_id=new_id(), role=Role.CLIENT))
            await tx.emit(a_receipt())
            raise DomainError(FORBIDDEN)

    relay = outbox.relay()
    with pytest.raises(DomainError):
        await change_their_mind()
    assert (await relay.drain(), await outbox.rows(), outbox.told) == (0, [], [])


async def test_an_event_whose_effect_fails_waits_and_is_tried_again(outbox: Outbox) -> None:
    await outbox.emit()
    fails = Failing(times=2)
    relay = outbox.relay(fails, outbox.tell)
    for attempt in (1, 2):
        await relay.drain()
        (row,) = await outbox.rows()
        assert (row["attempts"], row["waits"], row["died_at"]) == (attempt, True, None)
        assert row["last_error"] == "ConnectionError: nobody answers"
        assert await relay.drain() == 0
        await outbox.end_the_wait()
    assert (outbox.told, outbox.world.published) == ([], [])
    await relay.drain()
    assert (len(outbox.told), len(outbox.world.published), await outbox.rows()) == (1, 1, [])


async def test_an_event_that_fails_holds_up_no_other(outbox: Outbox) -> None:
    events = await outbox.emit(3)
    fails = Failing(times=1)
    await outbox.relay(fails, outbox.tell).drain()
    assert [event for _, event in outbox.told] == events[1:]
    assert len(await outbox.rows()) == 1


async def test_an_event_that_never_works_is_kept_as_a_dead_letter(outbox: Outbox) -> None:
    await outbox.emit()
    await outbox.sql(f"UPDATE outbox SET attempts = {MAX_ATTEMPTS - 1}")
    relay = outbox.relay(Failing(times=100))
    await relay.drain()
    (row,) = await outbox.rows()
    assert (row["attempts"], row["died_at"] is not None) == (MAX_ATTEMPTS, True)
    await outbox.end_the_wait()
    assert await relay.drain() == 0


async def test_an_event_of_a_newer_release_waits_for_somebody_who_knows_it(outbox: Outbox) -> None:
    async with outbox.database.begin(SYSTEM) as tx:
        await tx.emit(UserUpdated(user_id=UUID(int=1)))
    await outbox.relay().drain()
    (row,) = await outbox.rows()
    assert (row["type"], row["attempts"]) == ("user.updated", 1)


async def test_two_relays_at_once_share_the_work(outbox: Outbox, other_database: Database) -> None:
    """Each holds its batch open until the other has one too: neither waits for the other's rows."""
    events = await outbox.emit(2 * BATCH)
    both_at_work = asyncio.Barrier(2)

    def meeting() -> Effect:
        first = True

        async def tell(world: object, event_id: UUID, event: UserRegistered) -> None:
            nonlocal first
            if first:
                first = False
                await asyncio.wait_for(both_at_work.wait(), 4)
            await outbox.tell(world, event_id, event)

        return tell

    one, other = outbox.relay(meeting()), outbox.relay(meeting(), database=other_database)
    taken = await asyncio.gather(one.drain(), other.drain())
    assert list(taken) == [BATCH, BATCH]
    assert {told for _, told in outbox.told} == set(events)
    assert len(outbox.told) == len(events)
    assert await outbox.rows() == []


async def test_what_an_instance_committed_before_it_died_is_told_by_the_next(
    outbox: Outbox, other_database: Database
) -> None:
    """The dead one never woke its relay: nothing but the rows is left of it."""
    events = await outbox.emit(3, other_database)
    async with running(outbox.relay()):
        await eventually(lambda: len(outbox.told) == 3)
    assert [event for _, event in outbox.told] == events


async def test_a_relay_that_dies_in_the_middle_of_an_effect_has_not_taken_the_event_away(
    outbox: Outbox, other_database: Database
) -> None:
    await outbox.emit()
    begun, for_ever = asyncio.Event(), asyncio.Event()

    async def hang(world: object, event_id: UUID, event: UserRegistered) -> None:
        await outbox.tell(world, event_id, event)
        begun.set()
        await for_ever.wait()

    dying = asyncio.create_task(outbox.relay(hang).drain())
    await begun.wait()
    survivor = outbox.relay(database=other_database)
    assert await survivor.drain() == 0
    dying.cancel()
    await asyncio.wait([dying])
    assert await survivor.drain() == 1
    (first, _), (second, _) = outbox.told
    assert first == second


async def test_a_running_relay_is_woken_by_every_commit(outbox: Outbox) -> None:
    async with running(outbox.relay()):
        for count in (1, 2, 3):
            await outbox.emit()
            await eventually(lambda count=count: len(outbox.told) == count)  # type: ignore[misc]


async def test_a_running_relay_outlives_its_connections(outbox: Outbox, other_database: Database) -> None:
    async with running(outbox.relay()) as relaying:
        await outbox.emit()
        await eventually(lambda: len(outbox.told) == 1)
        await outbox.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        async def is_emitted() -> bool:
            try:
                return bool(await outbox.emit(database=other_database))
            except DomainError:
                return False

        await eventually(is_emitted)
        await eventually(lambda: len({event_id for event_id, _ in outbox.told}) == 2)
        assert not relaying.done()


async def test_a_relay_that_is_told_to_end_does_so_whatever_becomes_of_its_connection(outbox: Outbox) -> None:
    """A rollback that fails would otherwise hide that its task was cancelled, and the server could not stop."""
    busy = asyncio.Event()

    async def wait_for_ever(*_: object) -> None:
        busy.set()
        await asyncio.Event().wait()

    await outbox.emit()
    relaying = asyncio.create_task(outbox.relay(wait_for_ever).run())
    await busy.wait()
    await outbox.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    relaying.cancel()
    done, _ = await asyncio.wait([relaying], timeout=5)
    assert done
    assert relaying.cancelled()


async def test_an_event_with_a_journal_passes_no_outbox_and_runs_with_the_commit(outbox: Outbox) -> None:
    outbox.relay()
    async with outbox.database.begin(SYSTEM) as tx:
        await tx.emit(a_receipt())
        assert outbox.told == []
    ((_, told),) = outbox.told
    assert (told, await outbox.rows()) == (a_receipt(), [])


async def test_a_commit_stands_even_when_what_follows_fails(outbox: Outbox) -> None:
    outbox.relay(Failing(times=1))
    async with outbox.database.begin(SYSTEM) as tx:
        await tx.emit(a_receipt())
        await tx.emit(UserUpdated(user_id=UUID(int=1)))
    assert len(await outbox.rows()) == 1


class Failing:
    """An effect that fails the first few times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def __call__(self, *_: object) -> None:
        self.times -= 1
        if self.times >= 0:
            raise ConnectionError("nobody answers")


def a_receipt() -> MessageRead:
    """Return an event whose durable record is the read cursor itself."""
    return MessageRead(receipt=Receipt(UUID(int=1), UUID(int=2), 3, datetime(2026, 3, 1, tzinfo=UTC), 4, 5))


class running:  # noqa: N801 - reads as what it does
    """Let a relay run for the length of a block."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    async def __aenter__(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.relay.run())
        return self.task

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
