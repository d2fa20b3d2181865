"""Doors to the worker's database without a server behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from server.core.db import Database, connected
from server.core.tokens import Tokens
from tests.given import Given
from tests.servers import SECRET


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Return a door to the worker's database; nobody is told of what happens behind it."""
    async with connected(database_url, size=25) as found:
        yield found


@pytest.fixture
def given(database: Database) -> Given:
    """Return what sets the stage, without a server."""
    return Given(database, Tokens((SECRET,)))


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Return a bare connection, to look at what really stands in the tables."""
    found = await asyncpg.connect(database_url)
    yield found
    await found.close()
