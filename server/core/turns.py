"""Turns at something scarce. Who would wait too long is refused at once, so that those who wait are served in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Lets so many in at once, the others in the order they came."""

    def __init__(self, places: int, patience: float) -> None:
        self._free = asyncio.Semaphore(places)
        self._patience = patience
        self._waiting: dict[asyncio.Timeout, float] = {}

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Have a turn for the length of a block; TimeoutError when none is to be had in time."""
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    def send_away(self) -> None:
        """Tell everybody who waits that there will be no turn."""
        for limit in self._waiting:
            if not limit.expired():  # else it is on its way out already
                limit.reschedule(0)

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time()
        first = next(iter(self._waiting.values()), now)
        if now - first > self._patience:
            raise TimeoutError
        async with asyncio.timeout(2 * self._patience) as limit:
            self._waiting[limit] = now
            try:
                await self._free.acquire()
            finally:
                del self._waiting[limit]
