"""sql/queries: each can be run on the migrated schema, each is used, none is missing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.core.queries import SQL, Query, QueryFile

PROJECT = SQL.parent
AREAS = sorted(path.stem for path in (SQL / "queries").glob("*.sql"))
QUERIES = {query.name: query for area in AREAS for query in QueryFile(area)}
SOURCES = [path for folder in ("server", "scheduler") for path in (PROJECT / folder).rglob("*.py")]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_a_query_fits_the_migrated_schema(connection: asyncpg.Connection[Any], query: Query) -> None:
    prepared = await connection.prepare(query.text)
    assert len(prepared.get_parameters()) == len(query.parameters)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_leads_with_its_name_for_logs_and_statistics(query: Query) -> None:
    assert query.text.startswith(f"/* {query.name} */ ")


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_names_its_columns_and_pages_by_key(query: Query) -> None:
    assert not re.search(r"SELECT\s+\*|\.\*|\bOFFSET\b", query.text)


def test_every_query_is_used_and_every_query_that_is_used_stands_in_its_file() -> None:
    assert sorted(uses()) == sorted(QUERIES)


def uses() -> set[str]:
    """Return `area.query` for every query that the code names."""
    modules = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    declared = {_module_name(path): dict(_declared(tree)) for path, tree in modules.items()}
    found = set()
    for path, tree in modules.items():
        known = declared[_module_name(path)] | dict(_imported(tree, declared))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
                found.add(f"{known[node.value.id]}.{node.attr}")
    return found


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts)


def _declared(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the name and the area of each `name = QueryFile("area")`."""
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="QueryFile"), args=[ast.Constant(value=area)]),
            ):
                yield name, str(area)


def _imported(tree: ast.Module, declared: dict[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if area := declared.get(node.module or "", {}).get(alias.name):
                    yield alias.asname or alias.name, area
