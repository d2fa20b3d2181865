"""Sets the stage: people, conversations and messages, made by the real actions and new each time.

    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    message = await given.a_message(talk, cleo, "Same time?")

Tests share a database, so names and addresses are unique and no table is ever empty.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

import msgspec
import pytest

from server.adapters.passwords_argon2 import HASHER
from server.core.actor import Actor, Role
from server.core.db import Database
from server.core.ids import new_id
from server.core.tokens import Tokens
from server.domain.chat import actions as chat
from server.domain.chat.models import Conversation, Message, NewConversation, NewDirect, NewGroup, NewMessage
from server.domain.identity import actions as identity
from server.domain.identity.models import NewUser, Origin, OwnRole, User
from tests.servers import Server

PASSWORD = "a password of the tests"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is registered and signed in."""

    user: User
    actor: Actor
    access_token: str
    refresh_token: str
    password: str = PASSWORD

    @property
    def id(self) -> UUID:
        return self.user.id

    @property
    def email(self) -> str:
        return self.user.email


class Given:
    """Makes what a test starts from."""

    def __init__(self, database: Database, tokens: Tokens) -> None:
        self.database = database
        self.tokens = tokens

    async def a_client(self, name: str = "Cleo Client", *, now: datetime | None = None) -> Person:
        """Register a client, and sign them in."""
        return await self._register(name, OwnRole.CLIENT, now)

    async def a_trainer(self, name: str = "Tara Trainer", *, now: datetime | None = None) -> Person:
        """Register a trainer, and sign them in."""
        return await self._register(name, OwnRole.TRAINER, now)

    async def a_conversation(
        self, first: Person, *others: Person, name: str | None = None, now: datetime | None = None
    ) -> Conversation:
        """Let the first person open a conversation: direct with one other, a group with several or with a name."""
        ids = [person.id for person in others]
        new: NewConversation = NewDirect(member_ids=ids)
        if name is not None or len(others) > 1:
            new = NewGroup(member_ids=ids, name=name or "A group")
        async with self.database.begin(first.actor, now) as tx:
            conversation, _ = await chat.create_conversation(tx, new)
        return conversation

    async def a_message(
        self,
        conversation: Conversation,
        sender: Person,
        text: str = "Hello",
        *,
        client_id: UUID | None = None,
        now: datetime | None = None,
    ) -> Message:
        """Let somebody say something."""
        new = NewMessage(client_id=client_id or new_id(), text=text)
        async with self.database.begin(sender.actor, now) as tx:
            return await chat.send_message(tx, conversation.id, new)

    async def _register(self, name: str, role: OwnRole, now: datetime | None) -> Person:
        user_id = new_id()
        new = NewUser(email=f"{user_id.hex}@people.test", password=PASSWORD, name=name, id=user_id, role=role)
        async with self.database.begin(Actor(user_id), now) as tx:
            signed_in = await identity.register(tx, self.tokens, new, _password_hash(), Origin())
        actor = Actor(user_id, Role(role), None, _session_of(signed_in.access_token))
        return Person(signed_in.user, actor, signed_in.access_token, signed_in.refresh_token)


@pytest.fixture
def given(server: Server) -> Given:
    """Return what sets the stage of the shared server."""
    return Given(server.database, server.tokens)


def _session_of(access_token: str) -> UUID:
    """Read the session out of a token, even of one that has expired."""
    claims = urlsafe_b64decode(access_token.split(".")[1] + "==")
    return msgspec.json.decode(claims, type=_Session).sid


class _Session(msgspec.Struct):
    sid: UUID


@cache
def _password_hash() -> str:
    return HASHER.hash(PASSWORD)
