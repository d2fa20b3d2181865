"""The one file that knows everybody: `build` ties a server together, `run` keeps it up."""

from __future__ import annotations

import asyncio
import secrets
import zoneinfo
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import structlog
from aiohttp import web

from server import catalogue
from server.adapters.bus_alone import AloneBus
from server.adapters.bus_redis import RedisBus
from server.adapters.passwords_argon2 import ArgonPasswords
from server.core import db
from server.core.actor import SYSTEM
from server.core.addresses import Proxies
from server.core.config import Config
from server.core.db import Database
from server.core.group_commit import GroupCommit
from server.core.limits import Limited, Limits, Rate
from server.core.outbox import Relay
from server.core.tokens import Tokens
from server.demo import DEMO_PEOPLE, is_loaded
from server.domain.chat.actions import send_messages
from server.domain.identity import actions as identity
from server.effects import EFFECTS
from server.handlers import documents, front, health, metrics, page
from server.handlers.auth import authenticate
from server.handlers.front import Door, Front
from server.handlers.gateway import gateway
from server.handlers.http import SERVICES, Services
from server.realtime.entrance import TokenEntrance
from server.realtime.formats import FORMATS
from server.realtime.heads import Heads
from server.realtime.hub import Hub
from server.realtime.live import LiveHub
from server.realtime.presence import Presence, RecordLastSeen
from server.realtime.revocation import Revocation
from server.realtime.session import PRESENCE_CHANGED
from server.realtime.sockets import Sockets
from server.realtime.typing import Typing
from server.world import TheWorld

log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 3
BACKLOG = 4096
SOCKETS = web.AppKey("sockets", Sockets)
DOOR = web.AppKey("door", Door)


@asynccontextmanager
async def build(config: Config) -> AsyncIterator[web.Application]:
    """Tie a server together and let it go again when the block ends."""
    zoneinfo.reset_tzpath(to=[])  # the tzdata package: a machine's own zones are often old
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(db.connected(config.database_url, size=config.database_pool))
        tasks = await stack.enter_async_context(owned_tasks())
        instance = secrets.token_bytes(16)
        bus = RedisBus(config.redis_url, instance, config.secret_keys[0]) if config.redis_url else AloneBus()
        tokens = Tokens(config.secret_keys)
        hub = Hub(bus)
        sending = GroupCommit(database, send_messages, lane_of=lambda outgoing: outgoing.conversation_id)
        limits = Limits(rates(config))
        sockets = Sockets(
            config=config,
            database=database,
            sending=sending,
            hub=hub,
            entrance=TokenEntrance(database, tokens, hub, catalogue.NAMESPACES),
            limits=limits,
            namespaces=catalogue.NAMESPACES,
        )
        heads = Heads(hub, database)
        presence = Presence(hub, instance.hex(), PRESENCE_CHANGED, last_seen_recorder(database))
        live = sockets.live = LiveHub(hub, Typing(hub), presence, heads)
        relay = Relay(database, TheWorld(database, live, bus), EFFECTS)
        passwords = ArgonPasswords()
        stack.callback(passwords.close)

        app = web.Application(middlewares=[gateway], client_max_size=config.max_body_bytes)
        proxies = Proxies(config.trusted_proxies)
        app[SERVICES] = Services(database, tokens, passwords, sending, limits, config.trainer_registration, proxies)
        app[SOCKETS] = sockets
        app[DOOR] = door = Door(sockets, {one.path: one for one in FORMATS}, config.allowed_origins, proxies)
        for routes in catalogue.ROUTES:
            routes.mount(app, authenticate)
        health.mount(app, {"postgres": database.is_alive, "sockets": sockets.is_ready})
        documents.mount(app, catalogue.openapi_document(), catalogue.asyncapi_document(), catalogue.error_cases())
        page.mount(app, DEMO_PEOPLE if await is_loaded(database) else ())
        front.mount(app, door)
        metrics.mount(app, metrics.Sockets(sockets, database.commits, bus))

        tasks.start(database.watch())
        if isinstance(bus, RedisBus):
            bus.receive, bus.recovered = hub.receive, live.recover
            tasks.start(bus.run())
            await bus.started()
        for lane in sending.lanes:
            tasks.start(lane.run())
        tasks.start(heads.run())
        tasks.start(relay.run())
        tasks.start(presence.run())
        tasks.start(Revocation(hub, database, bus, live.close_connection).run())
        yield app


def last_seen_recorder(database: Database) -> RecordLastSeen:
    """Return how presence remembers when somebody was last online."""

    async def record(seen: Mapping[UUID, datetime]) -> None:
        async with database.begin(SYSTEM) as tx:
            await identity.record_last_seen(tx, seen)

    return record


class Tasks:
    """Background work with an owner. A task that ends by itself takes the process down: it should never."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._running.append(self._group.create_task(work))

    async def stop(self) -> None:
        """End the last one first: whoever says goodbye on its way out still finds the bus."""
        for task in reversed(self._running):
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[Tasks]:
    """Own background tasks for the length of a block, and wait for their end."""
    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        try:
            yield tasks
        finally:
            await tasks.stop()


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve an application for the length of a block; yields the port.

    The end: not ready and nobody new, sockets are sent away in waves, requests are finished, and only then does
    `build` let go of what they use.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=20,
        shutdown_timeout=SHUTDOWN_SECONDS,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        http = cast("Callable[[], asyncio.Protocol]", runner.server)
        listener = await asyncio.get_running_loop().create_server(
            lambda: Front(app[DOOR], http), host, port, backlog=BACKLOG
        )
        try:
            yield int(listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
            await app[SOCKETS].drain()
    finally:
        await runner.cleanup()


def rates(config: Config) -> dict[Limited, Rate]:
    """Return how often one person may do what.

    Of one address, a password is guessed ten times in ten minutes. Whoever guesses from many addresses gets a hundred
    tries an hour; only then does the person they guess at have to wait too.
    """
    return {
        Limited.SEND_MESSAGE: Rate(config.messages_per_second, 1, config.messages_burst),
        Limited.SET_TYPING: Rate(config.typing_per_minute, 60, max(2, config.typing_per_minute // 10)),
        Limited.SYNC: Rate(config.syncs_per_minute, 60, config.syncs_per_minute),
        Limited.CREATE_CONVERSATION: Rate(config.conversations_per_minute, 60, config.conversations_per_minute),
        Limited.GUESS: Rate(10, 600, 10),
        Limited.GUESS_BY_ADDRESS: Rate(config.guesses_per_minute, 60, config.guesses_per_minute),
        Limited.GUESS_OF_ACCOUNT: Rate(100, 3600, 100),
    }
