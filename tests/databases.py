"""One PostgreSQL for a test run, with a migrated database that every worker copies; one Valkey for each worker.

With xdist the process that hands out the tests runs PostgreSQL and tells the workers where it is; without
xdist the first test that asks starts it.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from server import embedded
from server.core.migrations import migrate

TEMPLATE = "fitsync_template"
EMPTY = "template1"

FreshDatabase = Callable[..., Awaitable[str]]

_numbers = itertools.count(1)
_handed_out = pytest.StashKey[str]()
_shutdown = pytest.StashKey[Callable[[], None]]()


@asynccontextmanager
async def postgres_with_template() -> AsyncIterator[str]:
    """Run a PostgreSQL that forgets, with the migrated database to copy; yield its URL."""
    with temporary_folder() as folder:
        async with embedded.servers(folder, redis=False, durable=False) as urls:
            await execute(urls.database_url, f"CREATE DATABASE {TEMPLATE}")
            await migrate(named(urls.database_url, TEMPLATE))
            yield urls.database_url


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that the account nobody may enter, unlike pytest's own, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="fitsync-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def named(database_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlsplit(database_url)._replace(path=f"/{name}").geturl()


async def execute(database_url: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def copied_database(postgres_url: str, worker: str, template: str = TEMPLATE) -> AsyncIterator[str]:
    """Make a database for one purpose and drop it afterwards, whoever is still connected."""
    name = f"{worker}_{next(_numbers)}"
    await execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
    try:
        yield named(postgres_url, name)
    finally:
        await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a new xdist worker where PostgreSQL is; the first worker makes it start."""
    config: pytest.Config = node.config
    if _handed_out not in config.stash:
        # The loop stands still between start and end. It runs in the main thread, because children end with
        # the thread that started them.
        runner = asyncio.Runner()
        stack = AsyncExitStack()
        config.stash[_handed_out] = runner.run(stack.enter_async_context(postgres_with_template()))

        def shut_down() -> None:
            runner.run(stack.aclose())
            runner.close()

        config.stash[_shutdown] = shut_down
    node.workerinput["postgres_url"] = config.stash[_handed_out]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the PostgreSQL that the workers shared."""
    if shut_down := config.stash.get(_shutdown, None):
        shut_down()


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> str:
    """Return the name of this worker, which stands in the names of its databases."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "alone"))


@pytest.fixture(scope="session")
async def postgres_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Return the URL of the server that all workers share; tests write to `database_url` instead."""
    handed_over = getattr(request.config, "workerinput", {}).get("postgres_url")
    if handed_over:
        yield handed_over
        return
    async with postgres_with_template() as url:
        yield url


@pytest.fixture(scope="session")
async def database_url(postgres_url: str, worker: str) -> AsyncIterator[str]:
    """Return the URL of this worker's migrated database."""
    async with copied_database(postgres_url, worker) as url:
        yield url


@pytest.fixture
async def fresh_database(postgres_url: str, worker: str) -> AsyncIterator[FreshDatabase]:
    """Return a function that makes databases for one test, migrated by default, or with `EMPTY` without a table."""
    async with AsyncExitStack() as stack:

        async def make(template: str = TEMPLATE) -> str:
            return await stack.enter_async_context(copied_database(postgres_url, worker, template))

        yield make


@pytest.fixture(scope="session")
async def redis_url() -> AsyncIterator[str]:
    """Return the URL of this worker's own Valkey: published messages would cross logical databases."""
    with temporary_folder() as folder:
        async with embedded.servers(folder, postgres=False) as urls:
            yield urls.redis_url
