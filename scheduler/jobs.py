"""One table: when → action. Every job may run on any number of schedulers at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from server.core.db import Tx
from server.domain.identity import actions as identity


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do again and again."""

    every: timedelta
    action: Callable[[Tx], Awaitable[int]]

    @property
    def name(self) -> str:
        return self.action.__name__


JOBS: tuple[Job, ...] = (Job(timedelta(minutes=5), identity.forget_expired_sessions),)
