"""The Socket.IO server: python-socketio speaks the protocol, the hub decides who hears what.

Of python-socketio these are replaced: CONNECT (one typed sign-in for all namespaces), EVENT (typed commands, in the
order they were sent) and the fan-out (the hub). A client can therefore never reach a handler by naming it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import socketio
import structlog
from aiohttp import web
from engineio import packet as engine_packet
from msgspec import Meta
from socketio import packet as socket_packet

from server.core import clock, validation
from server.core.actor import ANONYMOUS
from server.core.db import Database
from server.core.errors import FORBIDDEN, INTERNAL, NOT_FOUND, UNAUTHENTICATED, DomainError
from server.core.tokens import Tokens
from server.domain.chat import actions as chat
from server.domain.chat.rules import topic_of
from server.domain.identity import actions as identity
from server.domain.identity.models import User
from server.realtime import session
from server.realtime.connection import Connection
from server.realtime.hub import Hub
from server.realtime.live import LiveHub
from server.realtime.namespace import Namespace
from server.realtime.wire import PROTOCOL, refusal

log = structlog.get_logger(__name__)

PING_SECONDS = 25
PONG_SECONDS = 20
MAX_TOPICS = 200
CLOSE_SECONDS = 2


class Json:
    """msgspec in the shape python-socketio wants."""

    @staticmethod
    def dumps(value: object, **_: Any) -> str:
        """Encode; knows structs, UUIDs and times."""
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Decode, or raise ValueError."""
        try:
            return msgspec.json.decode(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Packet(socket_packet.Packet):  # type: ignore[misc]
    """A Socket.IO packet with our JSON. A class of its own: python-socketio would set it for the whole process."""

    json = Json


class SignIn(msgspec.Struct, frozen=True):
    """The `auth` of a CONNECT packet. Unknown fields are allowed: apps may say more about themselves."""

    token: Annotated[str, Meta(max_length=4096)] | None = None
    device_id: Annotated[str, Meta(max_length=200)] | None = None
    app: Annotated[str, Meta(max_length=200)] | None = None
    protocol: Literal[1] = 1


class Sockets(socketio.AsyncServer):  # type: ignore[misc]
    """Every open socket of this instance."""

    def __init__(
        self,
        *,
        database: Database,
        tokens: Tokens,
        hub: Hub,
        namespaces: Mapping[str, Namespace],
        allowed_origins: tuple[str, ...],
        max_frame_bytes: int,
    ) -> None:
        super().__init__(
            async_mode="aiohttp",
            client_manager=socketio.AsyncManager(),
            serializer=Packet,
            async_handlers=False,
            namespaces=list(namespaces),
            transports=["websocket"],
            cors_allowed_origins=list(allowed_origins) or None,
            max_http_buffer_size=max_frame_bytes,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            http_compression=False,
            logger=log,
            engineio_logger=False,
        )
        self._database = database
        self._tokens = tokens
        self._hub = hub
        self._commands = namespaces
        self._limits = session.Limits(max_frame_bytes)
        self._connections: dict[str, Connection] = {}
        self.live: LiveHub

    def mount(self, app: web.Application, live: LiveHub) -> None:
        """Serve `/socket.io/`."""
        self.live = live
        self.attach(app)

    def close(self, connection_id: str) -> None:
        """Close a connection after what is queued for it has left."""
        self.start_background_task(self.eio.disconnect, connection_id)

    async def close_all(self) -> None:
        """Close every connection; whoever does not let go in time is cut off with the process."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(self.eio.disconnect(id_) for id_ in list(self._connections)))
        except TimeoutError:
            log.warning("connections_left", count=len(self._connections))

    # What python-socketio calls.

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        queue = self.eio.sockets[eio_sid].queue
        self._connections[eio_sid] = Connection(
            eio_sid,
            lambda text: queue.put_nowait(engine_packet.Packet(engine_packet.MESSAGE, text)),
            self._database,
            self.live,
        )

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        try:
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, KeyError, IndexError, TypeError) as malformed:
            # Not Socket.IO: nothing that follows can be trusted to mean what it says.
            log.info("bad_packet", connection_id=eio_sid, reason=type(malformed).__name__)
            self.close(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        connection = self._connections.pop(eio_sid, None)
        if connection is not None and connection.me.is_signed_in:
            self.live.presence.leave(connection, clean=reason == self.reason.CLIENT_DISCONNECT)
            self._hub.remove(connection)

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: str | None = None) -> None:
        await super()._handle_disconnect(eio_sid, namespace, reason)
        connection = self._connections.get(eio_sid)
        if connection is None:
            return
        connection.namespaces.discard(namespace or "/")
        if not connection.namespaces and reason == self.reason.CLIENT_DISCONNECT and connection.me.is_signed_in:
            self.live.presence.leave(connection, clean=True)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        path = namespace or "/"
        connection = self._connections.get(eio_sid)
        if connection is None or path in connection.namespaces:
            return
        try:
            user = await self._enter(connection, path, data)
        except DomainError as error:
            await self._refuse(eio_sid, path, error)
            return
        except Exception:
            log.exception("connect_failed", connection_id=eio_sid)
            await self._refuse(eio_sid, path, DomainError(INTERNAL))
            return
        sid = await self.manager.connect(eio_sid, path)
        await self._send_packet(eio_sid, Packet(socket_packet.CONNECT, {"sid": sid}, namespace=path))
        if not connection.namespaces:
            self.live.presence.arrive(connection)
        connection.namespaces.add(path)
        if path == "/":
            ready = session.Ready(PROTOCOL, eio_sid, user, clock.now(), PING_SECONDS * 1000, self._limits)
            self._hub.tell_one(connection, session.SESSION_READY, ready, at=ready.server_time)

    async def _handle_event(self, eio_sid: str, namespace: str | None, ack_id: int | None, data: list[Any]) -> None:
        path = namespace or "/"
        connection = self._connections.get(eio_sid)
        if connection is None or path not in connection.namespaces:
            return
        ack = await self._commands[path].answer(connection, data[0], data[1:])
        if ack_id is not None:
            await self._send_packet(eio_sid, Packet(socket_packet.ACK, namespace=path, id=ack_id, data=[ack]))

    async def _refuse(self, eio_sid: str, path: str, error: DomainError) -> None:
        packet = Packet(socket_packet.CONNECT_ERROR, msgspec.to_builtins(refusal(error)), namespace=path)
        await self._send_packet(eio_sid, packet)

    async def _enter(self, connection: Connection, path: str, data: Any) -> User:
        """Check who wants in. The first CONNECT signs the connection in; later ones may leave out the token."""
        if path not in self._commands:
            raise DomainError(NOT_FOUND, f"There is no namespace {path[:40]}")
        auth = validation.convert(data if data is not None else {}, SignIn)
        if auth.token is None and not connection.me.is_signed_in:
            raise DomainError(UNAUTHENTICATED, "Send `auth: {token}` with CONNECT")
        async with self._database.read(ANONYMOUS) as tx:
            me = connection.me
            if auth.token is not None:
                me, _ = await identity.authenticate(tx, self._tokens, auth.token)
            if connection.me.is_signed_in and me.id != connection.me.id:
                raise DomainError(FORBIDDEN, "This connection belongs to somebody else")
        was_signed_in, connection.me = connection.me.is_signed_in, me
        async with connection.read() as tx:
            user = await identity.show_me(tx)
            if not was_signed_in:
                # Heard first, listed after: a conversation that is opened in between is not missed.
                self._hub.add(connection)
                for conversation_id in await chat.list_topics(tx, MAX_TOPICS):
                    self._hub.join(connection, topic_of(conversation_id))
        return user
