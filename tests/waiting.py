"""Waiting for what must come true, instead of sleeping and hoping."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

from server.core.errors import DomainError

T = TypeVar("T")

PAUSE = 0.02


@overload
async def eventually(condition: Callable[[], Coroutine[Any, Any, T]], within: float = 5) -> T: ...
@overload
async def eventually(condition: Callable[[], T], within: float = 5) -> T: ...
async def eventually(condition: Callable[[], Any], within: float = 5) -> Any:
    """Return the first true answer of `condition`; fail when none comes within so many seconds.

    A condition may assert: its AssertionError counts as "not yet", and the last one is what the test fails with.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        disappointment: AssertionError | None = None
        answer: Any = None
        try:
            asked = condition()
            answer = await asked if inspect.iscoroutine(asked) else asked
        except AssertionError as error:
            disappointment = error
        if answer:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            name = getattr(condition, "__name__", "the condition")
            raise disappointment or AssertionError(f"{name} did not come true within {within} s: {answer!r}")
        await asyncio.sleep(PAUSE)


async def patiently(work: Callable[[], Coroutine[Any, Any, T]], within: float = 60) -> T:
    """Do a piece of work, again when the server has no time for it just now: what every client of ours does."""

    async def attempt() -> list[T]:
        try:
            return [await work()]
        except DomainError as error:
            if error.case.retryable:
                raise AssertionError(error.case.code) from error
            raise

    (answer,) = await eventually(attempt, within)
    return answer
