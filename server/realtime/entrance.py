"""CONNECT: who somebody is, until when, and what they hear from then on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from server.core import clock, validation
from server.core.actor import ANONYMOUS
from server.core.db import Database, Tx
from server.core.errors import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED, DomainError
from server.core.tokens import AccessClaims, Tokens, token_hash
from server.domain.chat import actions as chat
from server.domain.chat.rules import topic_of
from server.domain.identity import actions as identity
from server.domain.identity.models import SESSION_ENDED, User
from server.realtime.connection import Connection
from server.realtime.hub import Hub

MAX_TOPICS = 200


class SignIn(msgspec.Struct, frozen=True):
    """The `auth` of a CONNECT packet. Unknown fields are allowed: apps may say more about themselves."""

    token: Annotated[str, Meta(max_length=4096)] | None = None
    device_id: Annotated[str, Meta(max_length=200)] | None = None
    app: Annotated[str, Meta(max_length=200)] | None = None
    protocol: Literal[1] = 1


class Entrance(Protocol):
    """Who lets connections in."""

    async def enter(self, connection: Connection, path: str, auth: Any) -> User | None:
        """Let a connection join a namespace, or raise why not. On `/` it is told who it is."""
        ...

    async def renew(self, connection: Connection, token: str) -> None:
        """Let a connection stay for as long as a new token lasts."""
        ...


class TokenEntrance:
    """The first CONNECT signs the connection in; later ones may leave the token out, or repeat it."""

    def __init__(self, database: Database, tokens: Tokens, hub: Hub, namespaces: Collection[str]) -> None:
        self._database = database
        self._tokens = tokens
        self._hub = hub
        self._namespaces = namespaces

    async def enter(self, connection: Connection, path: str, auth: Any) -> User | None:
        if path not in self._namespaces:
            raise DomainError(NOT_FOUND, f"There is no namespace {path[:40]}")
        given = validation.convert(auth if auth is not None else {}, SignIn)
        is_first = connection.id not in self._hub.connections
        if given.token is None and is_first:
            raise DomainError(UNAUTHENTICATED, "Send `auth: {token}` with CONNECT")
        is_news = given.token is not None and token_hash(given.token) != connection.token_hash
        if not is_first and not is_news and path != "/":
            return None
        claims = identity.read_claims(self._tokens, given.token) if given.token is not None and is_news else None
        async with self._database.read(connection.me) as tx:
            if given.token is not None and claims is not None:
                await self._identify(tx, connection, given.token, claims)
            mine = tx.on_behalf_of(connection.me)
            user = await identity.show_me(mine)
            # A connection that is gone by now must not be taken in: nobody would ever let it go again.
            if is_first and connection.is_open:
                await self._take_in(mine, connection)
        await self._hub.settled()  # whoever is in hears what is said from now on, wherever it is said
        return user

    async def _take_in(self, tx: Tx, connection: Connection) -> None:
        # Heard first, listed after: a conversation that is opened, or a session that ends, in between is not missed.
        self._hub.add(connection)
        try:
            for conversation_id in await chat.list_topics(tx, MAX_TOPICS):
                self._hub.join(connection, topic_of(conversation_id))
            session_id = connection.me.session_id
            if session_id and await identity.list_ended_sessions(tx, [session_id]):
                raise DomainError(SESSION_ENDED)
        except BaseException:
            self._hub.remove(connection)  # half let in is not let in: the next CONNECT begins anew
            raise

    async def renew(self, connection: Connection, token: str) -> None:
        claims = identity.read_claims(self._tokens, token)
        async with self._database.read(ANONYMOUS) as tx:
            await self._identify(tx, connection, token, claims)

    async def _identify(self, tx: Tx, connection: Connection, token: str, claims: AccessClaims) -> None:
        me = await identity.authenticate(tx, claims)
        if connection.me.is_signed_in and me.id != connection.me.id:
            raise DomainError(FORBIDDEN, "This connection belongs to somebody else")
        connection.me = me
        connection.token_hash = token_hash(token)
        connection.expires_at = connection.wheel.now + claims.exp - clock.now().timestamp()
