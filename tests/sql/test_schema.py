"""The schema: written down as it is, and every constraint says what it guarantees."""

from __future__ import annotations

from typing import Any

import asyncpg

from server import schema

FOREIGN_KEYS_WITHOUT_INDEX = """
SELECT conrelid::regclass || '.' || conname AS name
FROM pg_constraint
WHERE contype = 'f' AND NOT EXISTS (
  SELECT FROM pg_index
  WHERE indrelid = conrelid AND indpred IS NULL
    AND (string_to_array(indkey::text, ' ')::int2[])[1:cardinality(conkey)] @> conkey
)
"""
TABLES_WITHOUT_PRIMARY_KEY = """
SELECT oid::regclass::text AS name
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT EXISTS (
  SELECT FROM pg_constraint WHERE conrelid = pg_class.oid AND contype = 'p'
)
"""
# PostgreSQL makes such names when nobody gives one.
NAMELESS_CONSTRAINTS = """
SELECT conname AS name
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
  AND conname ~ CASE contype WHEN 'c' THEN '_check[0-9]*$' WHEN 'u' THEN '_key[0-9]*$' WHEN 'x' THEN '_excl[0-9]*$' END
"""
TIMES_WITHOUT_ZONE = """
SELECT table_name || '.' || column_name AS name
FROM information_schema.columns
WHERE table_schema = 'public' AND data_type IN ('timestamp without time zone', 'time with time zone')
"""


async def test_the_schema_that_is_written_down_is_the_one_the_migrations_make(database_url: str) -> None:
    assert schema.PATH.read_text(encoding="utf-8") == await schema.dump(database_url), "run `make schema`"


async def names(connection: asyncpg.Connection[Any], statement: str) -> list[str]:
    return [row["name"] for row in await connection.fetch(statement)]


async def test_every_foreign_key_has_an_index(connection: asyncpg.Connection[Any]) -> None:
    assert await names(connection, FOREIGN_KEYS_WITHOUT_INDEX) == []


async def test_every_table_has_a_primary_key(connection: asyncpg.Connection[Any]) -> None:
    assert await names(connection, TABLES_WITHOUT_PRIMARY_KEY) == []


async def test_every_constraint_has_a_name_that_somebody_thought_of(connection: asyncpg.Connection[Any]) -> None:
    assert await names(connection, NAMELESS_CONSTRAINTS) == []


async def test_every_moment_knows_its_zone(connection: asyncpg.Connection[Any]) -> None:
    assert await names(connection, TIMES_WITHOUT_ZONE) == []
