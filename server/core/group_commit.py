"""Work that arrives together is committed together: one transaction, one disk write, many answers.

Whatever arrives while a commit is under way goes into the next one; nobody waits for a timer, so a lone piece of work
is as fast as without. Work of one lane keeps its order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from server.core.actor import SYSTEM
from server.core.db import LONGEST_QUEUE_SECONDS, RETRY_AFTER, Database, Tx
from server.core.errors import UNAVAILABLE, DomainError, LostRace

W = TypeVar("W")
R = TypeVar("R")
Work = Callable[[Tx, Sequence[W]], Awaitable[Sequence[R | DomainError]]]

LANES = 4
LARGEST = 500
SLOW_SECONDS = 0.1
ALWAYS_TAKEN = 32


class GroupCommit(Generic[W, R]):
    """Hands pieces of work to `work`, which is one statement, in groups. A piece that fails, fails alone."""

    def __init__(self, database: Database, work: Work[W, R], lane_of: Callable[[W], UUID]) -> None:
        self._lane_of = lane_of
        self.lanes = tuple(Lane(database, work) for _ in range(LANES))

    def submit(self, piece: W) -> asyncio.Future[R]:
        """Do a piece of work. The future is done when it is committed, or says why it was not done."""
        return self.lanes[self._lane_of(piece).int % LANES].submit(piece)


class Lane(Generic[W, R]):
    """One commit at a time, in the order of arrival."""

    def __init__(self, database: Database, work: Work[W, R]) -> None:
        self._database = database
        self._work = work
        self._waiting: deque[tuple[W, asyncio.Future[R], float]] = deque()
        self._last_group = (0, 0.0)
        self._wanted = asyncio.Event()

    def submit(self, piece: W) -> asyncio.Future[R]:
        """Queue a piece of work; refused at once where it would wait too long."""
        loop = asyncio.get_running_loop()
        if self._is_overloaded(loop.time()):
            raise DomainError(UNAVAILABLE, retry_after=RETRY_AFTER)
        answer: asyncio.Future[R] = loop.create_future()
        self._waiting.append((piece, answer, loop.time()))
        self._wanted.set()
        return answer

    def _is_overloaded(self, now: float) -> bool:
        """Whether there is more to do than can be done in time, going by the last group when that was slow."""
        if self._waiting and now - self._waiting[0][2] > LONGEST_QUEUE_SECONDS:
            return True
        size, seconds = self._last_group
        return seconds > SLOW_SECONDS and len(self._waiting) >= max(
            ALWAYS_TAKEN, size * LONGEST_QUEUE_SECONDS / seconds
        )

    async def run(self) -> None:
        """Commit group after group until cancelled; then nobody is left waiting."""
        group: list[tuple[W, asyncio.Future[R]]] = []
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._waiting:
                    began = asyncio.get_running_loop().time()
                    count = min(len(self._waiting), LARGEST)
                    group = [self._waiting.popleft()[:2] for _ in range(count)]
                    await self._commit(group)
                    self._last_group = (count, asyncio.get_running_loop().time() - began)
        finally:
            for _, answer in (*group, *(waiting[:2] for waiting in self._waiting)):
                answer.cancel()  # those that are done stay as they are

    async def _commit(self, group: list[tuple[W, asyncio.Future[R]]]) -> None:
        try:
            outcomes = await self._try([piece for piece, _ in group])
        except Exception as failure:  # noqa: BLE001 - it is handed to those who wait for it
            if len(group) == 1 or _is_away(failure):
                for _, answer in group:
                    _fail(answer, failure)
                return
            for alone in group:
                await self._commit([alone])
            return
        for (_, answer), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, DomainError):
                _fail(answer, outcome)
            elif not answer.done():
                answer.set_result(outcome)

    async def _try(self, pieces: list[W]) -> Sequence[R | DomainError]:
        try:
            return await self._once(pieces)
        except LostRace:
            return await self._once(pieces)

    async def _once(self, pieces: list[W]) -> Sequence[R | DomainError]:
        async with self._database.single(SYSTEM) as tx:
            return await self._work(tx, pieces)


def _is_away(failure: Exception) -> bool:
    """Whether trying each piece alone would only wait for the same database again."""
    return isinstance(failure, DomainError) and failure.case is UNAVAILABLE


def _fail(answer: asyncio.Future[R], failure: Exception) -> None:
    if not answer.done():
        answer.set_exception(failure)
