"""Turns: in order, not for ever, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from server.core.turns import Turns
from tests.waiting import eventually

LONG = 60.0


class Visitor:
    """Somebody who wants a turn and keeps it until told to go."""

    def __init__(self, turns: Turns) -> None:
        self.is_in = False
        self._may_go = asyncio.Event()
        self.visit = asyncio.create_task(self._visit(turns))

    async def _visit(self, turns: Turns) -> None:
        async with turns.taken():
            self.is_in = True
            await self._may_go.wait()

    async def go(self) -> None:
        self._may_go.set()
        await self.visit


@asynccontextmanager
async def visiting(turns: Turns, number: int) -> AsyncIterator[list[Visitor]]:
    """Let some come one after the other; whoever is still there at the end is sent home."""
    async with AsyncExitStack() as stack:
        visitors = []
        for _ in range(number):
            visitors.append(Visitor(turns))
            stack.callback(visitors[-1].visit.cancel)
            await asyncio.sleep(0)
        yield visitors


async def test_only_so_many_are_in_and_the_others_follow_in_the_order_they_came() -> None:
    async with visiting(Turns(2, LONG), 4) as (first, second, third, fourth):
        await eventually(lambda: first.is_in and second.is_in)
        assert (third.is_in, fourth.is_in) == (False, False)
        await second.go()
        await eventually(lambda: third.is_in)
        assert not fourth.is_in
        await first.go()
        await eventually(lambda: fourth.is_in)


async def test_when_the_first_has_waited_too_long_newcomers_are_refused_at_once() -> None:
    turns = Turns(1, 0.3)
    async with visiting(turns, 2) as (inside, first_in_line):
        await eventually(lambda: inside.is_in)

        async def is_refused() -> bool:
            newcomer = Visitor(turns)
            await asyncio.wait({newcomer.visit}, timeout=0.01)
            is_done = newcomer.visit.done()
            newcomer.visit.cancel()
            return is_done and isinstance(newcomer.visit.exception(), TimeoutError)

        await eventually(is_refused)
        assert not first_in_line.visit.done()


async def test_nobody_waits_for_ever() -> None:
    async with visiting(Turns(1, 0.05), 2) as (inside, waiting):
        await eventually(lambda: inside.is_in)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting.visit, 5)


async def test_all_who_wait_can_be_sent_away_and_those_who_are_in_stay() -> None:
    turns = Turns(1, LONG)
    async with visiting(turns, 3) as (inside, *waiting):
        await eventually(lambda: inside.is_in)
        turns.send_away()
        turns.send_away()
        ends = await asyncio.gather(*(visitor.visit for visitor in waiting), return_exceptions=True)
        assert [type(end) for end in ends] == [TimeoutError, TimeoutError]
        await inside.go()


async def test_a_turn_that_nobody_waits_for_any_more_goes_to_the_next() -> None:
    turns = Turns(1, LONG)
    async with visiting(turns, 3) as (inside, gives_up, waits):
        await eventually(lambda: inside.is_in)
        gives_up.visit.cancel()
        await inside.go()
        await eventually(lambda: waits.is_in)
        await waits.go()
    async with visiting(turns, 1) as (another,):
        await eventually(lambda: another.is_in)
