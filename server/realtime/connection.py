"""One open socket: who is behind it, what it hears, and its door to the database."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from socketio.packet import CONNECT, DISCONNECT, EVENT

from server.core.actor import ANONYMOUS, Actor
from server.core.db import Tx
from server.core.errors import UNAVAILABLE, DomainError
from server.core.limits import Bucket, Limited, refuse_after
from server.realtime.engine_socket import EngineSocket
from server.realtime.formats import BadPacket, Format, Incomplete, Packet
from server.realtime.frames import POLICY
from server.realtime.namespace import conclude
from server.realtime.wire import Ack, failed, refusal

if TYPE_CHECKING:
    from server.realtime.live import LiveHub
    from server.realtime.sockets import Sockets

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 10.0
WARN_SECONDS = 60.0
GRACE_SECONDS = 30.0
COMMAND_SECONDS = 10.0
MAX_PENDING = 64
MAX_CONNECTS = 50  # each costs a look into the database; an app joins a handful of namespaces once

_NOWHERE: frozenset[str] = frozenset()
_BY_CLIENT = frozenset(("client_left", "client_closed", "transport_closed"))


class Connection(EngineSocket):
    """A connection is signed in by its first CONNECT; until then `me` is nobody and it hears nothing.

    Its commands are done one after the other, in the order they came: at once when they wait for nothing; else the
    next one waits for the answer of the one before, and when too many wait nothing more is read.
    """

    __slots__ = (
        "_bucket",
        "_commands",
        "_connects",
        "_current",
        "_incomplete",
        "_is_leaving",
        "_late_at",
        "_pending",
        "_session_at",
        "address",
        "expires_at",
        "format",
        "me",
        "namespaces",
        "sockets",
        "token_hash",
        "topics",
    )

    def __init__(self, sockets: Sockets, format_: Format, transport: asyncio.Transport, address: str) -> None:
        super().__init__(transport, sockets.cork, sockets.wheel, sockets.counts, sockets.config.max_frame_bytes)
        self.sockets = sockets
        self.format = format_
        self.address = address
        self.me: Actor = ANONYMOUS
        self.token_hash = b""
        self.expires_at: float | None = None  # when the access token does
        self.namespaces = _NOWHERE
        self.topics: set[str] = set()
        self._current: asyncio.Future[Any] | None = None  # the command that is waited for
        self._late_at = 0.0
        self._is_leaving = False
        self._pending: deque[Packet] | None = None  # those that came after it
        self._incomplete: Incomplete | None = None
        self._bucket: Bucket | None = None
        self._commands = 0
        self._connects = 0
        self._session_at = self.wheel.now + CONNECT_SECONDS
        self.wheel.at(self, self._session_at)

    # What handlers use.

    @property
    def live(self) -> LiveHub:
        """Everything live."""
        return self.sockets.live

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """Open the one read-write transaction of a command."""
        return self.sockets.database.begin(self.me)

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """Open a door that only looks."""
        return self.sockets.database.read(self.me)

    def snapshot(self) -> AbstractAsyncContextManager[Tx]:
        """Open a door through which everything is seen at one moment."""
        return self.sockets.database.snapshot(self.me)

    def hears(self, topic: str) -> bool:
        """Whether this connection has joined a topic; for conversations that means membership."""
        return topic in self.topics

    def limit(self, what: Limited) -> None:
        """Count what this person does, or raise `rate_limited`."""
        wait = self.sockets.limits.take(what, self.me.id, self.wheel.now)
        if wait:
            self.counts.refusals[what] += 1
        refuse_after(wait)

    def next_request_id(self) -> str:
        """Name the next command in the log."""
        self._commands += 1
        return f"{self.id}-{self._commands}"

    @property
    def seconds_left(self) -> int:
        """How long the access token still lasts."""
        return max(0, int((self.expires_at or 0) - self.wheel.now))

    @property
    def user_topic(self) -> str:
        return user_topic(self.me.id)

    # What comes in.

    def has_room(self) -> bool:
        return not self._is_leaving and (self._pending is None or len(self._pending) < MAX_PENDING)

    def receive_text(self, message: bytes) -> None:
        if self._incomplete is not None:
            raise BadPacket("a packet between attachments")
        packet = self.format.decode_text(message)
        if isinstance(packet, Packet):
            self._take(packet)
        elif self.namespaces:
            self._incomplete = packet
        else:
            raise BadPacket("an attachment before CONNECT")

    def receive_binary(self, message: bytes) -> None:
        packet = self._incomplete.add(message) if self._incomplete else self.format.decode_binary(message)
        if packet is not None:
            self._incomplete = None
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        if packet.type == EVENT and not self._may_ask(packet):
            return
        if self._current is None:
            self._begin(packet)
        else:
            self._pending = self._pending or deque()
            self._pending.append(packet)

    def _may_ask(self, packet: Packet) -> bool:
        """Count a command; over the limit it is refused before it takes a place in the queue."""
        self.counts.commands += 1
        rate, now = self.sockets.command_rate, self.wheel.now
        if self._bucket is None:
            self._bucket = Bucket(rate, now)
        try:
            refuse_after(self._bucket.take(rate, now))
        except DomainError as error:
            self.counts.refusals["commands"] += 1
            self._ack(packet, failed(error))
            return False
        return True

    # One after the other.

    def _begin(self, packet: Packet) -> None:
        if packet.type == CONNECT and self._connects == MAX_CONNECTS:
            self.break_off("joins without end")
        elif packet.type == CONNECT:
            self._connects += 1
            self._wait_for(packet, self.sockets.enter(self, packet.namespace, packet.data))
        elif packet.namespace not in self.namespaces:
            self.break_off("nothing is said in a namespace before CONNECT")
        elif packet.type == DISCONNECT:
            self.sockets.leave(self, packet.namespace)
        elif packet.type == EVENT:
            answer = self.sockets.namespaces[packet.namespace].begin(self, packet.data)
            if isinstance(answer, Ack):
                self._ack(packet, answer)
            else:
                self._wait_for(packet, answer)

    def _wait_for(self, packet: Packet, answer: Awaitable[Any]) -> None:
        self._current = self.sockets.own(answer)
        self._current.add_done_callback(partial(self._done, packet))
        self._late_at = self.wheel.now + COMMAND_SECONDS
        self.wheel.at(self, self._late_at)

    def _done(self, packet: Packet, answer: asyncio.Future[Any]) -> None:
        self._current = None
        if packet.type == EVENT:
            self._ack(packet, conclude(answer))
        elif answer.cancelled():
            self.send(self.format.refused(packet.namespace, refusal(DomainError(UNAVAILABLE))))
        while self._pending and self._current is None:
            self._begin(self._pending.popleft())
        if not self._pending or len(self._pending) <= MAX_PENDING // 2:
            # Not after every command: each time costs two calls of the kernel.
            self.read_on()

    def _ack(self, packet: Packet, ack: Ack) -> None:
        if packet.id is not None:
            self.send(self.format.ack(packet.namespace, packet.id, ack))

    # Time.

    def look(self, now: float) -> None:
        """See what is late: a write, a pong, a command, a CONNECT, a new token."""
        super().look(now)
        if self._current is not None and now >= self._late_at:
            log.warning("command_timed_out", connection_id=self.id)
            self._late_at = now + COMMAND_SECONDS
            self._current.cancel()
        if self.is_open and now >= self._session_at:
            self._session_at = self._look_at_session(now)
        if self.is_open:
            self.wheel.at(self, self._session_at)
        if self._current is not None:
            self.wheel.at(self, max(self._late_at, now))

    def _look_at_session(self, now: float) -> float:
        if not self.namespaces:
            self.close(POLICY, "no_connect")
        elif self.expires_at is not None and now >= self.expires_at + GRACE_SECONDS:
            self.sockets.dismiss(self, "token_expired", reconnect=True)
        elif self.expires_at is not None:
            self.sockets.warn(self)
            return self.expires_at + GRACE_SECONDS
        return float("inf")

    def expect(self) -> None:
        """Set the next moment when something must have happened: a CONNECT, or a new token before the old one ends."""
        if not self.namespaces:
            self._session_at = self.wheel.now + CONNECT_SECONDS
        else:
            self._session_at = float("inf") if self.expires_at is None else self.expires_at - WARN_SECONDS
        self.wheel.at(self, self._session_at)

    # The end.

    async def finish(self) -> None:
        """Take no more commands, and wait for those that have come."""
        self._is_leaving = True
        self.hold()
        while self._current is not None:
            await asyncio.wait([self._current])

    def ended(self, reason: str) -> None:
        if reason not in _BY_CLIENT and self._pending is not None:
            self._pending.clear()  # what was sent before a goodbye is still done; whoever was sent away is not served
        self._incomplete = None
        self.sockets.forget(self, reason)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.sockets.gone(self)


def user_topic(user_id: UUID) -> str:
    """Return the topic of what concerns one person alone."""
    return f"user:{user_id}"
