"""Servers whose inside is in view, and clients that speak bare TCP; all are let go after the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from server.app import SOCKETS, build, serving
from server.core.config import Config
from server.handlers.http import SERVICES
from tests.given import Given
from tests.servers import Server
from tests.sockets.engine.peer import PATH, Peer, Running

Dial = Callable[..., Awaitable[Peer]]
Run = Callable[..., Any]


@pytest.fixture
async def dial(server: Server) -> AsyncIterator[Dial]:
    """Return a function that opens a TCP connection, to `server` by default, and says nothing."""
    peers: list[Peer] = []

    async def one(url: str = server.url, **options: Any) -> Peer:
        peers.append(await Peer.dial(url, **options))
        return peers[-1]

    yield one
    for peer in peers:
        await peer.leave()


@pytest.fixture
def open_peer(dial: Dial) -> Dial:
    """Return a function that opens a websocket and reads Engine.IO's first packet."""

    async def one(url: str, path: str = PATH, **options: Any) -> Peer:
        peer = await dial(url, **options)
        await peer.open(path)
        return peer

    return one


@pytest.fixture
def run(config: Config, http: aiohttp.ClientSession) -> Run:
    """Return what runs a server for the length of a block; its arguments replace settings."""

    @asynccontextmanager
    async def running(**settings: Any) -> AsyncIterator[Running]:
        own = msgspec.structs.replace(config, **settings)
        async with build(own) as app, serving(app, own.host, own.port) as port:
            services = app[SERVICES]
            server = Server(f"http://{own.host}:{port}", own, services.database, services.tokens, http)
            yield Running(server, app[SOCKETS], Given(services.database, services.tokens))

    return running
