"""One timer for all deadlines: a wheel of quarter seconds that looks at things when their time comes."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

SLOT_SECONDS = 0.25
NEVER = 1 << 62


class Timed(Protocol):
    """Something with deadlines. `due` is the slot it stands in, NEVER when it stands in none."""

    due: int

    def look(self, now: float) -> None:
        """See what is late, and ask the wheel for the next look."""
        ...


class Wheel:
    """Never a task or a timer handle per connection: an idle one costs its place in a list."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Timed]] = {}
        self._turned = int(loop.time() / SLOT_SECONDS)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def now(self) -> float:
        """The time that deadlines are measured in."""
        return self._loop.time()

    def start(self) -> None:
        """Begin to turn."""
        self._timer = self._loop.call_later(SLOT_SECONDS, self._turn)

    def stop(self) -> None:
        """Stop turning; nobody is looked at any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._slots.clear()

    def at(self, timed: Timed, when: float) -> None:
        """Look at something at a time, or a slot later; an earlier look that was asked for stands."""
        slot = NEVER if when == float("inf") else max(int(when / SLOT_SECONDS), self._turned) + 1
        if slot < timed.due:
            # Its place in a later slot stays there and is passed over: `due` says which one counts.
            timed.due = slot
            self._slots.setdefault(slot, []).append(timed)

    def _turn(self) -> None:
        self._timer = self._loop.call_later(SLOT_SECONDS, self._turn)
        now = self._loop.time()
        last, self._turned = self._turned, int(now / SLOT_SECONDS)
        for slot in range(last + 1, self._turned + 1):
            for timed in self._slots.pop(slot, ()):
                if timed.due == slot:
                    timed.due = NEVER
                    self._look(timed, now)

    @staticmethod
    def _look(timed: Timed, now: float) -> None:
        try:
            timed.look(now)
        except Exception:  # one that fails must not cost the others of its slot their turn
            log.exception("look_failed")
