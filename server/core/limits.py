"""How often somebody may do something: token buckets that cost two numbers each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum

import msgspec

from server.core.errors import DomainError, ErrorCase, Kind

RATE_LIMITED = ErrorCase(
    "rate_limited", Kind.TOO_MANY, "Too many at once", "Wait for `retry_after_ms`, then go on more slowly."
)
SWEEP_ABOVE = 10_000


class Rate(msgspec.Struct, frozen=True):
    """So many in so many seconds; `burst` of them at once after a pause."""

    count: int
    seconds: float
    burst: int


class Bucket:
    """Fills up with time and is emptied by use."""

    __slots__ = ("_at", "_level")

    def __init__(self, rate: Rate, now: float) -> None:
        self._level = float(rate.burst)
        self._at = now

    def take(self, rate: Rate, now: float) -> float:
        """Take one. Return 0, or how many seconds there are to wait when there is none to take."""
        per_second = rate.count / rate.seconds
        level = min(float(rate.burst), self._level + (now - self._at) * per_second)
        self._at = now
        if level >= 1:
            self._level = level - 1
            return 0.0
        self._level = level
        return (1 - level) / per_second

    def give_back(self, rate: Rate) -> None:
        """Undo a `take`."""
        self._level = min(float(rate.burst), self._level + 1)

    def is_full(self, rate: Rate, now: float) -> bool:
        """Whether it holds no memory of what was taken."""
        return self._level + (now - self._at) * rate.count / rate.seconds >= rate.burst


class Limited(StrEnum):
    """What a person may not do too often, whatever the number of devices; and guessing passwords, by whom and of whom."""

    SEND_MESSAGE = "send_message"
    SET_TYPING = "set_typing"
    SYNC = "sync"
    CREATE_CONVERSATION = "create_conversation"
    GUESS = "guess"
    GUESS_BY_ADDRESS = "guess_by_address"
    GUESS_OF_ACCOUNT = "guess_of_account"


class Limits:
    """The buckets of all people, made when needed and forgotten when full again."""

    def __init__(self, rates: Mapping[Limited, Rate]) -> None:
        self._rates = rates
        self._buckets: dict[tuple[Limited, Hashable], Bucket] = {}
        self._sweep_above = SWEEP_ABOVE

    def take(self, what: Limited, who: Hashable, now: float) -> float:
        """Take one. Return 0, or how many seconds there are to wait when there is none to take."""
        rate = self._rates[what]
        bucket = self._buckets.get((what, who))
        if bucket is None:
            self._sweep(now)
            bucket = self._buckets[what, who] = Bucket(rate, now)
        return bucket.take(rate, now)

    @contextmanager
    def only_failures(self, failure: ErrorCase, now: float, *attempt: tuple[Limited, Hashable]) -> Iterator[None]:
        """Count an attempt under each of these, or raise `rate_limited`; unless it ends in this failure, forget it."""
        for what, who in attempt:
            refuse_after(self.take(what, who, now))
        try:
            yield
        except DomainError as error:
            if error.case is not failure:
                self._give_back(attempt)
            raise
        self._give_back(attempt)

    def _give_back(self, attempt: Iterable[tuple[Limited, Hashable]]) -> None:
        for key in attempt:
            if key in self._buckets:  # else it was full again and is forgotten
                self._buckets[key].give_back(self._rates[key[0]])

    def _sweep(self, now: float) -> None:
        if len(self._buckets) < self._sweep_above:
            return
        full = [key for key, bucket in self._buckets.items() if bucket.is_full(self._rates[key[0]], now)]
        for key in full:
            del self._buckets[key]
        # The bound follows the people who are really busy: a sweep costs less than what was added since the last one.
        self._sweep_above = max(SWEEP_ABOVE, 2 * len(self._buckets))


def refuse_after(wait: float) -> None:
    """Raise `rate_limited` when there is a time to wait."""
    if wait:
        raise DomainError(RATE_LIMITED, retry_after=timedelta(seconds=wait))
