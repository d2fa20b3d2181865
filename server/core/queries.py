"""Named SQL: `sql/queries/<area>.sql`, loaded by aiosql, one attribute for each `-- name:` header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiosql.adapters.asyncpg import AsyncPGAdapter
from aiosql.query_loader import QueryLoader

SQL = Path(__file__).parents[2] / "sql"


@dataclass(frozen=True, slots=True)
class Query:
    """One named statement. Its name leads the text, so logs and pg_stat_statements tell it apart."""

    name: str
    text: str
    parameters: tuple[str, ...]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """Put named arguments in the order of `$1, $2, …`; a missing or a surplus one is our own mistake."""
        if given.keys() != set(self.parameters):
            raise TypeError(f"{self.name} takes {sorted(self.parameters)}, was given {sorted(given)}")
        return [given[name] for name in self.parameters]


class QueryFile:
    """The queries of one area; `chat.insert_message` is the statement of that name."""

    def __init__(self, area: str) -> None:
        adapter: Any = AsyncPGAdapter()
        loader = QueryLoader(adapter, None, mandatory_parameters=False)
        self.area = area
        self._queries = {
            found.query_name: Query(
                f"{area}.{found.query_name}",
                f"/* {area}.{found.query_name} */ {found.sql.strip().rstrip(';')}",
                tuple(adapter.var_sorted[found.query_name]),
            )
            for found in loader.load_query_data_from_file(SQL / "queries" / f"{area}.sql")
        }

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(f"sql/queries/{self.area}.sql has no query {name!r}") from None

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())
