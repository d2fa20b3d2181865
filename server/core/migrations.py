"""The schema moves forward, one numbered SQL file at a time.

`sql/migrations/NNNN_name.sql` uses dbmate's file format (`-- migrate:up` leads; there is no way down). An advisory
lock makes any number of servers that start at once take turns; checksums make an edited old file an error.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from server.core.queries import SQL

LOCK_KEY = 0x_F175_94C0
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_UP = "-- migrate:up"
_DOWN = "-- migrate:down"
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version text PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """The migration files and the database disagree."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(folder: Path = SQL / "migrations") -> list[Migration]:
    """Read all migrations, oldest first. A bad name, a doubled or missing number or a way down is an error."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        named = _NAME.match(path.name)
        if named is None:
            raise MigrationError(f"{path.name}: a migration is called NNNN_what_it_does.sql")
        text = path.read_text(encoding="utf-8")
        if not text.startswith(_UP) or _DOWN in text:
            raise MigrationError(f"{path.name}: starts with '{_UP}' and has no way down")
        found.append(Migration(named[1], named[2], text))
    wanted = [f"{number:04}" for number in range(1, len(found) + 1)]
    if [migration.version for migration in found] != wanted:
        raise MigrationError("migrations are numbered 0001, 0002, … without gaps")
    return found


async def migrate(database_url: str, migrations: list[Migration] | None = None) -> list[str]:
    """Bring a database up to date; return the names of the files that were applied, each in one transaction."""
    migrations = load() if migrations is None else migrations
    connection = await asyncpg.connect(database_url, timeout=10, server_settings={"application_name": "migrate"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        await connection.execute(_LEDGER)
        rows = await connection.fetch("SELECT version, checksum FROM schema_migrations ORDER BY version")
        applied = {row["version"]: row["checksum"] for row in rows}
        _compare(applied, migrations)
        pending = [migration for migration in migrations if migration.version not in applied]
        for migration in pending:
            await _apply(connection, migration)
        return [f"{migration.version}_{migration.name}" for migration in pending]
    finally:
        await connection.close()


async def behind(database_url: str) -> list[str]:
    """Return the names of the migrations a database lacks; changes nothing."""
    connection = await asyncpg.connect(database_url, timeout=10, server_settings={"application_name": "migrate"})
    try:
        known = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        rows = await connection.fetch("SELECT version, checksum FROM schema_migrations") if known else []
    finally:
        await connection.close()
    applied = {row["version"]: row["checksum"] for row in rows}
    migrations = load()
    _compare(applied, migrations)
    return [f"{missing.version}_{missing.name}" for missing in migrations if missing.version not in applied]


def _compare(applied: dict[str, str], migrations: list[Migration]) -> None:
    """Refuse to go on when an applied file was edited. A database from a newer release is left as it is."""
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.version}_{migration.name}.sql was edited after it was applied")


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '2s'")
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )
