"""Migrations: forward, once, in order, and never edited."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.core.migrations import Migration, MigrationError, behind, load, migrate
from tests.databases import EMPTY, FreshDatabase
from tests.waiting import eventually

FIRST = Migration("0001", "gyms", "-- migrate:up\nCREATE TABLE gyms (name text PRIMARY KEY);")
SECOND = Migration("0002", "rooms", "-- migrate:up\nCREATE TABLE rooms (name text PRIMARY KEY);")


async def tables(database_url: str) -> set[str]:
    return {row["tablename"] for row in await fetch(database_url, "SELECT tablename FROM pg_tables")} & {
        *("gyms", "rooms", "schema_migrations")
    }


async def fetch(database_url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def test_many_servers_that_start_at_once_apply_each_file_once(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    applied = await asyncio.gather(*(migrate(url) for _ in range(5)))
    everything = [f"{migration.version}_{migration.name}" for migration in load()]
    assert sorted(applied) == [[], [], [], [], everything]
    assert await behind(url) == []
    assert await migrate(url) == []


async def test_only_what_is_new_is_applied(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    assert await migrate(url, [FIRST]) == ["0001_gyms"]
    assert await migrate(url, [FIRST, SECOND]) == ["0002_rooms"]
    assert await tables(url) == {"gyms", "rooms", "schema_migrations"}


async def test_an_old_file_that_was_edited_stops_everything(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    await migrate(url, [FIRST])
    edited = Migration(FIRST.version, FIRST.name, f"{FIRST.sql} -- harmless")
    with pytest.raises(MigrationError, match=r"0001_gyms\.sql was edited"):
        await migrate(url, [edited, SECOND])
    assert await tables(url) == {"gyms", "schema_migrations"}


async def test_a_file_that_fails_leaves_nothing_behind_and_the_ones_before_it_stand(
    fresh_database: FreshDatabase,
) -> None:
    url = await fresh_database(EMPTY)
    broken = Migration("0002", "rooms", f"{SECOND.sql} SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(url, [FIRST, broken])
    assert await tables(url) == {"gyms", "schema_migrations"}
    assert await migrate(url, [FIRST, SECOND]) == ["0002_rooms"]


async def test_an_older_release_leaves_a_newer_schema_alone(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    await migrate(url, [FIRST, SECOND])
    assert await migrate(url, [FIRST]) == []
    assert await tables(url) == {"gyms", "rooms", "schema_migrations"}


async def test_a_migration_gives_up_rather_than_stop_the_traffic_behind_it(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    await migrate(url, [FIRST])
    reader = await asyncpg.connect(url)
    async with reader.transaction():
        await reader.execute("LOCK TABLE gyms IN ACCESS SHARE MODE")
        change = Migration("0002", "more", "-- migrate:up\nALTER TABLE gyms ADD COLUMN town text;")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await migrate(url, [FIRST, change])
    await reader.close()


async def test_a_database_tells_what_it_lacks_and_is_not_touched(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    assert await behind(url) == [f"{migration.version}_{migration.name}" for migration in load()]
    assert await tables(url) == set()


async def test_whoever_waits_for_the_lock_gets_it_when_the_other_dies(fresh_database: FreshDatabase) -> None:
    url = await fresh_database(EMPTY)
    stuck = Migration("0001", "gyms", "-- migrate:up\nSELECT pg_sleep(600);")
    asleep = "pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    dying = asyncio.create_task(migrate(url, [stuck]))

    async def is_at_work() -> bool:
        return bool(await fetch(url, f"SELECT FROM {asleep}"))

    await eventually(is_at_work)
    waiting = asyncio.create_task(migrate(url, [FIRST]))
    await fetch(url, f"SELECT pg_terminate_backend(pid) FROM {asleep}")
    with pytest.raises((asyncpg.AdminShutdownError, asyncpg.InterfaceError)):
        await dying
    assert await waiting == ["0001_gyms"]


GOOD = "-- migrate:up\nSELECT 1;\n"
BAD_FOLDERS: dict[str, dict[str, str]] = {
    "a gap": {"0001_gyms.sql": GOOD, "0003_rooms.sql": GOOD},
    "a number twice": {"0001_gyms.sql": GOOD, "0001_rooms.sql": GOOD},
    "no first": {"0002_gyms.sql": GOOD},
    "a short number": {"1_gyms.sql": GOOD},
    "a name with capitals": {"0001_Gyms.sql": GOOD},
    "no name": {"0001.sql": GOOD},
    "no way up": {"0001_gyms.sql": "SELECT 1;\n"},
    "a way down": {"0001_gyms.sql": f"{GOOD}-- migrate:down\nSELECT 1;\n"},
}


@pytest.mark.parametrize("files", BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_a_folder_of_migrations_that_makes_no_sense_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(MigrationError):
        load(tmp_path)


def test_a_folder_of_migrations_is_read_in_order(tmp_path: Path) -> None:
    for name in ("0002_rooms.sql", "0001_gyms.sql"):
        (tmp_path / name).write_text(GOOD)
    assert [(found.version, found.name, found.sql) for found in load(tmp_path)] == [
        ("0001", "gyms", GOOD),
        ("0002", "rooms", GOOD),
    ]
