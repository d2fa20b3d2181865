"""Askers that put one question after the other, each on its own road, and note how long every answer took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.faults.client import LostError, RefusedError
from tests.faults.crowd import percentile
from tests.servers import Answer

PROBE_SECONDS = 10.0
PAUSE = 0.03


@dataclass(frozen=True)
class Asked:
    """One question: when it began, how long it took, and what came back."""

    began: float
    took: float
    outcome: str
    """`ok`, or the code of the error, or how the connection ended."""
    status: int = 0
    is_good_refusal: bool = False
    """Whether it was refused as it should be: retryable, and with a time to come back."""


@dataclass
class Probe:
    """One kind of question."""

    name: str
    ask: Callable[[], Awaitable[object]]
    answers: list[Asked] = field(default_factory=list)

    async def go_on(self, until: Callable[[], bool]) -> None:
        """Ask until told to stop."""
        while not until():
            self.answers.append(await self._once())
            await asyncio.sleep(PAUSE)

    async def _once(self) -> Asked:
        began = time.monotonic()
        outcome, status, is_good = "ok", 0, False
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                answer = await self.ask()
            if isinstance(answer, Answer):
                status = answer.status
                outcome = "ok" if status < 400 else answer.code
                is_good = status == 503 and "Retry-After" in answer.headers and answer.body["retryable"] is True
        except RefusedError as refused:
            outcome, is_good = refused.code, refused.retryable
        except (LostError, TimeoutError, OSError, aiohttp.ClientError) as lost:
            outcome = type(lost).__name__
        return Asked(began, time.monotonic() - began, outcome, status, is_good)

    def between(self, begin: float, end: float) -> list[Asked]:
        """List what was asked in a span of time."""
        return [asked for asked in self.answers if begin <= asked.began <= end]

    def first_success(self, after: float) -> float:
        """Return how long after a moment the first answer came that was good; endless when none came."""
        ends = [asked.began + asked.took for asked in self.answers if asked.outcome == "ok"]
        return min((end - after for end in ends if end >= after), default=float("inf"))


def times(asked: Sequence[Asked], share: float) -> float:
    """Return the time within which so great a share was answered."""
    return percentile([one.took for one in asked], share)
