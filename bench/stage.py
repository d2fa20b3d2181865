"""The stage: PostgreSQL and Valkey for the length of a run, and a database with everybody in it for each contender."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench.crowds import Crowd, seat
from server import embedded
from server.core.migrations import migrate

SEATED = "bench_seated"


@dataclass(frozen=True)
class Stage:
    """Where the databases answer."""

    postgres_url: str
    redis_url: str
    postgres_version: str

    def database_url(self, name: str) -> str:
        """Return the URL of one database."""
        return urlsplit(self.postgres_url)._replace(path=f"/{name}").geturl()

    async def copy_database(self, name: str) -> str:
        """Make a contender's database anew, with everybody in it."""
        connection = await asyncpg.connect(self.postgres_url)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {SEATED}")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        return self.database_url(name)


@asynccontextmanager
async def prepared(crowds: list[Crowd]) -> AsyncIterator[Stage]:
    """Run the databases as they run in production, with fsync, in a folder that is removed afterwards."""
    folder = _open_folder()
    try:
        async with embedded.servers(folder) as urls:
            connection = await asyncpg.connect(urls.database_url)
            version = str(await connection.fetchval("SHOW server_version"))
            await connection.execute(f"CREATE DATABASE {SEATED}")
            await connection.close()
            stage = Stage(urls.database_url, urls.redis_url, version.partition(" ")[0])
            await migrate(stage.database_url(SEATED))
            await seat(stage.database_url(SEATED), crowds)
            yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    """Make a folder that others may enter: PostgreSQL may run as an account that owns nothing here."""
    folder = Path(tempfile.mkdtemp(prefix="fitsync-bench-"))
    folder.chmod(0o755)
    return folder
