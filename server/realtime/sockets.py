"""Every open socket of this instance: who comes in, who has to go, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Mapping
from typing import Any

import structlog

from server.core import clock
from server.core.config import Config
from server.core.db import Database
from server.core.errors import INTERNAL, DomainError, ErrorCase, Kind
from server.core.group_commit import GroupCommit
from server.core.limits import Limits, Rate
from server.core.metrics import Histogram, SocketCounts
from server.domain.chat.models import Message, Outgoing
from server.realtime import session
from server.realtime.connection import Connection
from server.realtime.cork import Cork
from server.realtime.engine_socket import PING_SECONDS
from server.realtime.entrance import Entrance
from server.realtime.formats import Format
from server.realtime.frames import NORMAL, RESTARTING
from server.realtime.hub import Hub
from server.realtime.live import LiveHub
from server.realtime.namespace import Namespace
from server.realtime.wheel import Wheel
from server.realtime.wire import PROTOCOL, refusal

log = structlog.get_logger(__name__)

TOO_MANY_CONNECTIONS = ErrorCase(
    "too_many_connections", Kind.TOO_MANY, "Too many connections", "Close some, or try again later."
)
RESTARTING_CASE = ErrorCase("restarting", Kind.UNAVAILABLE, "The server restarts", "Connect again in a moment.")

DRAIN_SECONDS = 6.0
FINISH_SECONDS = 3.0
WAVES = 20
SMALL_WAVE = 250


class Sockets:
    """The connections, and everything they have in common."""

    live: LiveHub

    def __init__(
        self,
        *,
        config: Config,
        database: Database,
        sending: GroupCommit[Outgoing, Message],
        hub: Hub,
        entrance: Entrance,
        limits: Limits,
        namespaces: Mapping[str, Namespace],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.config = config
        self.database = database
        self.sending = sending
        self.hub = hub
        self.limits = limits
        self.namespaces = namespaces
        self.command_rate = Rate(config.commands_per_minute, 60, config.commands_burst)
        self.counts = SocketCounts()
        self.cork = Cork(loop)
        self.wheel = Wheel(loop)
        self.open: set[Connection] = set()
        self._entrance = entrance
        self._of_address: Counter[str] = Counter()
        self._joined: dict[frozenset[str], frozenset[str]] = {}
        self._under_way: set[asyncio.Future[Any]] = set()
        self._is_draining = False
        self.wheel.start()

    async def is_ready(self) -> bool:
        """Whether new connections are taken."""
        return not self._is_draining

    # What metrics read.

    @property
    def connections(self) -> int:
        return len(self.open)

    @property
    def unsent_bytes(self) -> int:
        return sum(connection.unsent for connection in self.open)

    @property
    def fan_out(self) -> Histogram:
        return self.cork.waited

    def own(self, answer: Awaitable[Any]) -> asyncio.Future[Any]:
        """Hold on to what a connection waits for until it is done; a coroutine becomes a task."""
        future = asyncio.ensure_future(answer)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    # Coming.

    def check_room(self, address: str) -> None:
        """Raise why one more connection from an address cannot be taken now."""
        if self._is_draining:
            raise DomainError(RESTARTING_CASE)
        if len(self.open) >= self.config.max_connections:
            raise DomainError(TOO_MANY_CONNECTIONS, "The server is full")
        if self._of_address[address] >= self.config.max_connections_per_address:
            raise DomainError(TOO_MANY_CONNECTIONS, "Too many from your address")

    def accept(self, format_: Format, transport: asyncio.Transport, address: str) -> Connection:
        """Take over a transport after its handshake."""
        connection = Connection(self, format_, transport, address)
        self.open.add(connection)
        self._of_address[address] += 1
        self.counts.opened += 1
        return connection

    async def enter(self, connection: Connection, path: str, auth: Any) -> None:
        """Let a connection join a namespace, or tell it why not."""
        if path in connection.namespaces:
            return
        was_nowhere = not connection.namespaces
        try:
            user = await self._entrance.enter(connection, path, auth)
        except DomainError as error:
            connection.send(connection.format.refused(path, refusal(error)))
            return
        except Exception:
            log.exception("connect_failed", connection_id=connection.id)
            connection.send(connection.format.refused(path, refusal(DomainError(INTERNAL))))
            return
        if not connection.is_open:
            return
        connection.send(connection.format.joined(path, connection.id))
        connection.namespaces = self._shared(connection.namespaces | {path})
        connection.expect()
        if was_nowhere:
            self.live.presence.arrive(connection)
            self._keep_to_limit(connection)
        if user is not None and path == "/":
            limits = session.Limits(self.config.max_frame_bytes)
            ready = session.Ready(PROTOCOL, connection.id, user, clock.now(), int(PING_SECONDS * 1000), limits)
            self.hub.tell_one(connection, session.SESSION_READY, ready, at=ready.server_time)

    async def renew(self, connection: Connection, token: str) -> None:
        """Let a connection stay for as long as a new token lasts."""
        await self._entrance.renew(connection, token)
        connection.expect()

    def _shared(self, namespaces: frozenset[str]) -> frozenset[str]:
        """Return the one set that all connections with these namespaces have: there are few, and many connections."""
        return self._joined.setdefault(namespaces, namespaces)

    def _keep_to_limit(self, connection: Connection) -> None:
        devices = self.hub.of_person(connection.me.id)
        for oldest in devices[: -self.config.max_connections_per_user]:
            self.dismiss(oldest, TOO_MANY_CONNECTIONS.code, reconnect=False)

    # Going.

    def leave(self, connection: Connection, path: str) -> None:
        """Let a connection leave a namespace; who has left the last one is gone unless they join again."""
        if path not in connection.namespaces:
            return
        connection.namespaces = self._shared(connection.namespaces - {path})
        if not connection.namespaces:
            self.live.presence.leave(connection, clean=True)
            connection.expect()

    def warn(self, connection: Connection) -> None:
        """Tell that the token ends soon."""
        expiring = session.Expiring(connection.seconds_left)
        self.hub.tell_one(connection, session.SESSION_EXPIRING, expiring, at=clock.now())

    def dismiss(self, connection: Connection, code: str, *, reconnect: bool, retry_after_ms: int = 0) -> None:
        """Close a connection and say why. An official client comes back by itself unless it is told to leave."""
        closing = session.Closing(code, reconnect, retry_after_ms)
        self.hub.tell_one(connection, session.SESSION_CLOSING, closing, at=clock.now())
        if not reconnect:
            for namespace in connection.namespaces:
                connection.send(connection.format.left(namespace))
        connection.close(RESTARTING if reconnect else NORMAL, code)

    def forget(self, connection: Connection, reason: str) -> None:
        """A connection has ended: it hears nothing any more."""
        if connection.me.is_signed_in:
            # A close frame is a goodbye too: some clients say no other, and a lost network says none.
            self.live.presence.leave(connection, clean=reason in {"client_left", "client_closed"})
            self.hub.remove(connection)

    def gone(self, connection: Connection) -> None:
        """The transport of a connection is gone too."""
        if connection in self.open:
            self.open.discard(connection)
            self._of_address[connection.address] -= 1
            if not self._of_address[connection.address]:
                del self._of_address[connection.address]

    # The end.

    async def drain(self) -> None:
        """Let everybody go in waves, each told when to come back; what they asked for is finished first."""
        self._is_draining = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._send_away(list(self.open))
                while self.open:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("connections_left", count=len(self.open))
        for connection in list(self.open):
            connection.abort("restarting")
        for answer in list(self._under_way):
            answer.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self.wheel.stop()

    async def _send_away(self, connections: list[Connection]) -> None:
        size = max(SMALL_WAVE, -(-len(connections) // WAVES))
        spread_ms = min(10_000, 500 + len(connections))
        for start in range(0, len(connections), size):
            wave = connections[start : start + size]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await asyncio.gather(*(connection.finish() for connection in wave))
            for connection in wave:
                retry = random.randrange(100, 100 + spread_ms)
                self.dismiss(connection, RESTARTING_CASE.code, reconnect=True, retry_after_ms=retry)
            await asyncio.sleep(0.1 if start + size < len(connections) else 0)
