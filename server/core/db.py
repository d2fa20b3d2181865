"""PostgreSQL: the pool, and the Tx that every action receives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import structlog

from server.core import clock
from server.core.actor import Actor
from server.core.errors import UNAVAILABLE, DomainError
from server.core.events import Event, name_of
from server.core.ids import NOBODY, new_id
from server.core.metrics import Histogram
from server.core.pulse import Pulse
from server.core.queries import Query, QueryFile
from server.core.turns import Turns

log = structlog.get_logger(__name__)
T = TypeVar("T")
AfterCommit = Callable[[list[tuple[UUID, Event]], bool], Awaitable[None]]

ACQUIRE_SECONDS = 0.8
STATEMENT_SECONDS = 2
RETRY_AFTER = timedelta(seconds=1)
LONGEST_QUEUE_SECONDS = 0.4
LONGEST_READ_QUEUE_SECONDS = 1.0
KEPT_FOR_WRITES = 3
_GONE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that is being torn down by the other side
    asyncpg.OperatorInterventionError,  # it shuts down, starts up, or has cancelled what took too long
    asyncpg.InsufficientResourcesError,  # no memory, no disk, no connection left
    asyncpg.TransactionRollbackError,  # a deadlock: a second try finds the way free
    asyncpg.ReadOnlySQLTransactionError,  # a standby answers
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database is closed for maintenance
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
)

outbox = QueryFile("outbox")


class Tx:
    """Who asks (`me`), when (`now`), and the one transaction the work happens in."""

    def __init__(self, me: Actor, now: datetime, connection: Any, *, is_single: bool = False) -> None:
        self.me = me
        self.now = now
        self._connection = connection
        self._is_single = is_single
        self.journaled: list[tuple[UUID, Event]] = []
        self.queued = False

    def on_behalf_of(self, me: Actor) -> Tx:
        """Go on as somebody who has just proved who they are."""
        return Tx(me, self.now, self._connection, is_single=self._is_single)

    async def one(
        self, type_: type[T], query: Query, /, *, raises: Mapping[str, Exception] | None = None, **arguments: Any
    ) -> T:
        """Return the query's only row. `raises` turns the name of a violated constraint into our error."""
        row = await self.maybe(type_, query, raises=raises, **arguments)
        if row is None:
            raise LookupError(f"{query.name} returned no row")
        return row

    async def maybe(
        self, type_: type[T], query: Query, /, *, raises: Mapping[str, Exception] | None = None, **arguments: Any
    ) -> T | None:
        """Return the query's row, or None when there is none."""
        with _named(raises):
            row = await self._connection.fetchrow(query.text, *query.arguments(arguments))
        return None if row is None else msgspec.convert(dict(row), type_)

    async def many(
        self, type_: type[T], query: Query, /, *, raises: Mapping[str, Exception] | None = None, **arguments: Any
    ) -> list[T]:
        """Return all rows of the query."""
        with _named(raises):
            rows = await self._connection.fetch(query.text, *query.arguments(arguments))
        return [msgspec.convert(dict(row), type_) for row in rows]

    async def run(self, query: Query, /, **arguments: Any) -> None:
        """Run a statement whose rows nobody needs."""
        await self._connection.execute(query.text, *query.arguments(arguments))

    async def emit(self, event: Event) -> None:
        """Record a fact. Its effects (server/effects.py) run once this transaction is committed."""
        event_id = new_id()
        if event.journal is not None:
            self.journaled.append((event_id, event))
            return
        if self._is_single:
            raise RuntimeError(f"{name_of(event)} belongs into one transaction with its change")
        self.queued = True
        fact = msgspec.to_builtins(event)
        del fact["type"]
        await self.run(
            outbox.insert_event,
            id=event_id,
            type=name_of(event),
            occurred_at=self.now,
            actor_id=None if self.me.id == NOBODY else self.me.id,
            gym_id=self.me.gym_id,
            data=fact,
        )


@contextmanager
def _named(raises: Mapping[str, Exception] | None) -> Iterator[None]:
    """Turn a violated constraint into the error its name stands for; one that nobody expects goes on as it is."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as violation:
        known = (raises or {}).get(violation.constraint_name or "")
        if known is None:
            raise
        raise known from violation


class Database:
    """The pool. `begin` opens the one transaction of a piece of work; `read` and `snapshot` only look.

    When PostgreSQL cannot be reached, an answer takes too long, or too many wait already, all three raise
    `unavailable`: work that is refused at once costs next to nothing, so what is taken on is still done in time.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], pulse: Pulse) -> None:
        self._pool = pool
        self._pulse = pulse
        self._in_use: set[Any] = set()
        size = pool.get_max_size()
        # When everybody comes back at once and reads, those who were here can still write.
        self._reads = Turns(max(1, size - KEPT_FOR_WRITES), LONGEST_READ_QUEUE_SECONDS)
        self._writes = Turns(size, LONGEST_QUEUE_SECONDS)
        self.commits = Histogram()
        self.after_commit: AfterCommit | None = None

    async def watch(self) -> None:
        """Watch over PostgreSQL until cancelled: when it falls silent, whoever waits for it is told at once."""
        await self._pulse.feel(self._let_go)

    @asynccontextmanager
    async def begin(self, me: Actor, now: datetime | None = None) -> AsyncIterator[Tx]:
        """One read-write transaction: committed when the block ends, undone when it raises.

        A DomainError that `stands` is the exception: the work is kept and the asker is refused all the same.
        """
        refused: DomainError | None = None
        async with self._connection(self._writes) as connection:
            tx = Tx(me, now or clock.now(), connection)
            async with connection.transaction():
                try:
                    yield tx
                except DomainError as error:
                    if not error.stands:
                        raise
                    refused = error
                worked = time.perf_counter()
            self.commits.observe(time.perf_counter() - worked)
        if self.after_commit and (tx.journaled or tx.queued):
            await self.after_commit(tx.journaled, tx.queued)
        if refused is not None:
            raise refused

    @asynccontextmanager
    async def single(self, me: Actor, now: datetime | None = None) -> AsyncIterator[Tx]:
        """One statement that is its own transaction: three round trips less. It may emit only what has a journal."""
        async with self._connection(self._writes) as connection:
            tx = Tx(me, now or clock.now(), connection, is_single=True)
            worked = time.perf_counter()
            yield tx
            self.commits.observe(time.perf_counter() - worked)
        if self.after_commit and tx.journaled:
            await self.after_commit(tx.journaled, False)

    @asynccontextmanager
    async def read(self, me: Actor, now: datetime | None = None) -> AsyncIterator[Tx]:
        """Queries that need no common snapshot; each is its own transaction."""
        async with self._connection(self._reads) as connection:
            yield Tx(me, now or clock.now(), connection)

    @asynccontextmanager
    async def snapshot(self, me: Actor, now: datetime | None = None) -> AsyncIterator[Tx]:
        """Several queries that all see the same moment."""
        async with self._connection(self._reads) as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield Tx(me, now or clock.now(), connection)

    @asynccontextmanager
    async def _connection(self, turns: Turns) -> AsyncIterator[Any]:
        if self._pulse.is_silent:
            raise DomainError(UNAVAILABLE, retry_after=RETRY_AFTER)
        try:
            async with turns.taken(), self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                self._in_use.add(connection)
                try:
                    yield connection
                    self._pulse.heard()
                finally:
                    self._in_use.discard(connection)
        except _GONE as gone:
            if (task := asyncio.current_task()) and task.cancelling():
                # A rollback that fails hides why it was made; whoever is told to end must not carry on.
                raise asyncio.CancelledError from gone
            if isinstance(gone, ValueError):
                raise  # an argument of ours that cannot be sent: a second try would not mend it
            if not isinstance(gone, TimeoutError):
                log.warning("postgres_failed", reason=type(gone).__name__)
            raise DomainError(UNAVAILABLE, retry_after=RETRY_AFTER) from gone

    async def _let_go(self) -> None:
        """End every connection that waits for an answer and everybody's wait for one; use those that rest no more."""
        self._reads.send_away()
        self._writes.send_away()
        for connection in list(self._in_use):
            connection.terminate()
        await self._pool.expire_connections()

    async def is_alive(self) -> bool:
        """Whether PostgreSQL answers within the acquire deadline."""
        if self._pulse.is_silent:
            return False
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS), self._pool.acquire() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except _GONE:
            return False


def connected(database_url: str, *, size: int) -> AbstractAsyncContextManager[Database]:
    """Open a pool of `size` connections for the length of a block."""
    return _connected(database_url, size)


@asynccontextmanager
async def _connected(database_url: str, size: int) -> AsyncIterator[Database]:
    pool = await asyncpg.create_pool(
        database_url,
        min_size=min(2, size),
        max_size=size,
        init=_prepare,
        reset=_keep,
        timeout=5,
        command_timeout=STATEMENT_SECONDS + 1,
        server_settings={
            "application_name": "fitsync",
            "timezone": "UTC",  # the times in what PostgreSQL itself writes as JSON
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "idle_in_transaction_session_timeout": "5s",
        },
    )
    pulse = Pulse(lambda: asyncpg.connect(database_url, server_settings={"application_name": "fitsync pulse"}))
    try:
        yield Database(pool, pulse)
    finally:
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )


async def _keep(_: Any) -> None:
    """Skip asyncpg's reset (100–250 µs a query): we use only SET LOCAL and transaction-level locks."""


_JSONB_VERSION: Literal[b"\x01"] = b"\x01"


def _encode_jsonb(value: object) -> bytes:
    return _JSONB_VERSION + msgspec.json.encode(value)


def _decode_jsonb(raw: bytes) -> object:
    return msgspec.json.decode(raw[1:])
