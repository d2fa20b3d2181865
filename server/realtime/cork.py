"""What is said to a connection during one tick of the loop leaves in one write."""

from __future__ import annotations

import asyncio
from typing import Protocol

from server.core.metrics import Histogram


class Corked(Protocol):
    """Something that has collected what it wants to write."""

    def flush(self) -> None:
        """Write it."""
        ...


class Cork:
    """The connections that have something to write in this tick."""

    __slots__ = ("_dirty", "_loop", "_since", "waited")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[Corked] = []
        self._since = 0.0
        self.waited = Histogram()

    def add(self, one: Corked) -> None:
        """Flush something at the end of this tick. It comes once: it has not been flushed since it came last."""
        if not self._dirty:
            self._since = self._loop.time()
            self._loop.call_soon(self.flush)
        self._dirty.append(one)

    def flush(self) -> None:
        """Write for everybody who has something to write."""
        dirty, self._dirty = self._dirty, []
        for one in dirty:
            one.flush()
        if dirty:
            self.waited.observe(self._loop.time() - self._since)
