"""argon2id in a small thread pool: many sign-ins at once never stop the chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.core.errors import UNAVAILABLE, DomainError

# OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
THREADS = 2
# The last of them waits for a few seconds. More are refused at once: else a flood of sign-ins would have everybody wait
# for minutes.
MAX_WAITING = 256
RETRY_AFTER = timedelta(seconds=5)
T = TypeVar("T")


class ArgonPasswords:
    """The `Passwords` port."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys_hash = HASHER.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Return an encoded argon2id hash with its own salt."""
        return await self._run(HASHER.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Compare; without a hash, do the same work against nobody's and say no."""
        known = password_hash or self._nobodys_hash
        found = await self._run(_matches, known, password)
        return found and password_hash is not None

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        """Do slow work in a thread of the pool, or raise `unavailable` when too much waits for one."""
        if self._waiting >= MAX_WAITING:
            raise DomainError(UNAVAILABLE, retry_after=RETRY_AFTER)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
