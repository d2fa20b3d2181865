"""The real server in the test's own process, on the worker's databases, and a small client for its REST.

    async def test_two_people_talk(server: Server, given: Given) -> None:
        cleo = await given.a_client()
        answer = await server.as_(cleo.access_token).get("/users/me")
        assert answer.status == 200

`server` is shared by all tests of a worker. `start_server(…)` starts another instance for one test; its arguments
replace settings, for example `await start_server(redis_url="")`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest

from server.app import build, serving
from server.core.config import Config
from server.core.db import Database
from server.core.tokens import Tokens
from server.handlers.http import SERVICES

SECRET = "a secret of thirty-two characters, or more"

# Tests are faster than people. What the limits do is seen where a test sets them.
FAST_PEOPLE = {
    "commands_per_minute": 1_000_000,
    "commands_burst": 100_000,
    "messages_per_second": 100_000,
    "messages_burst": 100_000,
    "typing_per_minute": 1_000_000,
    "syncs_per_minute": 1_000_000,
    "conversations_per_minute": 1_000_000,
    "guesses_per_minute": 1_000_000,
}

StartServer = Callable[..., Awaitable["Server"]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers (their names in any case) and the body, decoded when it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The code of a problem document."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), (self.status, self.body)
        return str(self.body["code"])

    @property
    def wrong_fields(self) -> list[str]:
        """The pointers to every field that a problem document complains about, sorted."""
        return sorted(error["pointer"] for error in self.body.get("errors", ()))


class Api:
    """REST as one person, or as nobody. Paths start after `/api/v1`."""

    def __init__(self, http: aiohttp.ClientSession, url: str, access_token: str = "") -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}

    async def get(self, path: str, **query: object) -> Answer:
        return await self.send("GET", path, params={name: str(value) for name, value in query.items()})

    async def post(self, path: str, body: object = None) -> Answer:
        return await self.send("POST", path, json=body)

    async def put(self, path: str, body: object = None) -> Answer:
        return await self.send("PUT", path, json=body)

    async def send(self, method: str, path: str, *, json: object = None, **options: Any) -> Answer:
        """Send any request; `data=` sends a body as it is, `headers=` adds headers."""
        headers = self._headers | dict(options.pop("headers", {}))
        if json is not None:
            options["data"] = msgspec.json.encode(json)
            headers = {"Content-Type": "application/json"} | headers
        async with self._http.request(method, f"{self._url}/api/v1{path}", headers=headers, **options) as response:
            raw = await response.read()
            is_json = response.content_type.endswith("json")
            return Answer(response.status, response.headers, msgspec.json.decode(raw) if is_json and raw else raw)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `database` is its own, so that what a test does there is told to connected people."""

    url: str
    config: Config
    database: Database
    tokens: Tokens
    http: aiohttp.ClientSession
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def api(self) -> Api:
        """REST as nobody."""
        return Api(self.http, self.url)

    def as_(self, access_token: str) -> Api:
        """REST as the person of a token."""
        return Api(self.http, self.url, access_token)

    async def get(self, path: str, **headers: str) -> Answer:
        """Fetch anything that is not under /api/v1."""
        async with self.http.get(f"{self.url}{path}", headers=headers) as response:
            raw = await response.read()
            is_json = response.content_type.endswith("json")
            return Answer(response.status, response.headers, msgspec.json.decode(raw) if is_json else raw)


class Servers:
    """Starts servers and ends them. Each is entered and left in one task of its own, as its task group wants."""

    def __init__(self, config: Config, http: aiohttp.ClientSession) -> None:
        self._config = config
        self._http = http
        self._running: dict[str, tuple[Server, asyncio.Task[None]]] = {}

    async def start(self, **settings: Any) -> Server:
        """Start a server whose settings differ from those of the worker as given."""
        config = msgspec.structs.replace(self._config, **settings)
        started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(config, started))
        either: set[asyncio.Future[Any]] = {task, started}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await task  # raises why it could not start
        server = started.result()
        self._running[server.url] = (server, task)
        return server

    async def stop(self, server: Server) -> None:
        """End a server as SIGTERM does; raise what went wrong in its background work."""
        _, task = self._running.pop(server.url)
        server._stop.set()
        await task

    async def stop_all(self) -> None:
        for server, _ in list(self._running.values()):
            await self.stop(server)

    async def _live(self, config: Config, started: asyncio.Future[Server]) -> None:
        async with build(config) as app, serving(app, config.host, config.port) as port:
            services = app[SERVICES]
            url = f"http://{config.host}:{port}"
            server = Server(url, config, services.database, services.tokens, self._http)
            started.set_result(server)
            await server._stop.wait()


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client; it keeps no cookies."""
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture(scope="session")
def config(database_url: str, redis_url: str) -> Config:
    """Return the settings of this worker's servers: a free port, the worker's databases, a known secret."""
    own = Config(port=0, database_url=database_url, redis_url=redis_url, database_pool=8, secret_key=SECRET)
    return msgspec.structs.replace(own, **FAST_PEOPLE)


@pytest.fixture(scope="session")
async def server(config: Config, http: aiohttp.ClientSession) -> AsyncIterator[Server]:
    """Return the server that all tests of this worker share."""
    servers = Servers(config, http)
    yield await servers.start()
    await servers.stop_all()


@pytest.fixture
async def servers(config: Config, http: aiohttp.ClientSession) -> AsyncIterator[Servers]:
    """Return a starter of servers for one test; what still runs at its end is ended."""
    async with AsyncExitStack() as stack:
        found = Servers(config, http)
        stack.push_async_callback(found.stop_all)
        yield found


@pytest.fixture
def start_server(servers: Servers) -> StartServer:
    """Return a function that starts one more instance; its arguments replace settings."""
    return servers.start
