"""PostgreSQL goes away and comes back: nobody waits for nothing, everybody is told when to try again."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.databases import FreshDatabase, execute
from tests.given import Given, Person
from tests.servers import Answer, Server, Servers
from tests.waiting import eventually

END_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


class Place:
    """A server on a database of its own, which can be shut and opened again."""

    def __init__(self, server: Server, cleo: Person, postgres_url: str) -> None:
        self.server = server
        self.cleo = cleo
        self._postgres_url = postgres_url
        self._name = urlsplit(server.config.database_url).path.removeprefix("/")

    async def me(self) -> Answer:
        return await self.server.as_(self.cleo.access_token).get("/users/me")

    async def is_served(self) -> bool:
        return (await self.me()).status == 200

    async def end_connections(self) -> None:
        await execute(self._postgres_url, END_CONNECTIONS.format(name=self._name))

    async def shut(self) -> None:
        await execute(self._postgres_url, f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        await self.end_connections()

    async def open(self) -> None:
        await execute(self._postgres_url, f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def count_users(self) -> Any:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self.server.config.database_url)
        try:
            return await connection.fetchval("SELECT count(*) FROM users")
        finally:
            await connection.close()


@pytest.fixture
async def place(servers: Servers, fresh_database: FreshDatabase, postgres_url: str) -> Place:
    server = await servers.start(database_url=await fresh_database(), redis_url="")
    cleo = await Given(server.database, server.tokens).a_client()
    return Place(server, cleo, postgres_url)


async def test_without_postgresql_every_answer_is_unavailable_and_says_when_to_ask_again(
    place: Place, printed: io.StringIO
) -> None:
    await place.shut()
    api, nobody = place.server.as_(place.cleo.access_token), place.server.api
    answers = [
        await api.get("/users/me"),
        await api.put("/users/me", {"bio": "x"}),
        await api.get("/conversations"),
        await nobody.post("/auth/login", {"email": place.cleo.email, "password": place.cleo.password}),
        await nobody.post("/auth/refresh", {"refresh_token": place.cleo.refresh_token}),
        await nobody.post("/auth/register", {"email": "a@people.test", "password": "long enough", "name": "A"}),
    ]
    for answer in answers:
        assert (answer.status, answer.code, answer.body["retryable"]) == (503, "unavailable", True)
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.body["retry_after_ms"] >= 1000
    ready = await place.server.get("/ready")
    assert (ready.status, ready.body["checks"]["postgres"]) == (503, False)
    assert (await place.server.get("/health")).status == 200
    assert "request_failed" not in printed.getvalue()


async def test_what_needs_no_database_is_answered_without_one(place: Place) -> None:
    await place.shut()
    assert (await place.server.get("/openapi.json")).status == 200
    assert (await place.server.api.get("/nothing")).code == "not_found"
    assert (await place.server.api.post("/auth/login", {})).code == "invalid"


async def test_a_server_heals_by_itself_when_postgresql_is_back(place: Place) -> None:
    await place.shut()
    assert (await place.me()).status == 503
    await place.open()
    await eventually(place.is_served)
    joined = {"email": "late@people.test", "password": "long enough", "name": "Late"}
    assert (await place.server.api.post("/auth/register", joined)).status == 201


async def test_connections_that_are_cut_are_replaced_and_nobody_sees_a_mistake(place: Place) -> None:
    for _ in range(3):
        await place.end_connections()
        answers = [await place.me() for _ in range(5)]
        assert {answer.status for answer in answers} <= {200, 503}
        await eventually(place.is_served)


async def test_what_was_refused_for_want_of_a_database_was_not_done(place: Place) -> None:
    before = await place.count_users()
    await place.shut()
    joined = {"email": "zoe@people.test", "password": "long enough", "name": "Zoe"}
    assert (await place.server.api.post("/auth/register", joined)).status == 503
    await place.open()
    await eventually(place.is_served)
    assert await place.count_users() == before
