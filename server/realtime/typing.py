"""/typing: who types right now. Nothing is stored; every instance keeps the same small picture."""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec

from server.core import clock
from server.core.errors import DomainError
from server.core.limits import Limited
from server.core.permissions import Permission, Relation, require
from server.core.ports import Shedding
from server.domain.chat.models import NO_CONVERSATION
from server.domain.chat.rules import topic_of
from server.realtime.connection import Connection
from server.realtime.hub import Hub, Typed
from server.realtime.namespace import Namespace

RESEND_SECONDS = 4
IDLE_SECONDS = 3
EXPIRE_SECONDS = 8


class SetTyping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say that one types, again every four seconds, or that one has stopped."""

    conversation_id: UUID
    typing: bool


class TypingChanged(msgspec.Struct, frozen=True):
    """Everybody who types in a conversation now."""

    conversation_id: UUID
    user_ids: list[UUID]


class Nothing(msgspec.Struct, frozen=True):
    """An empty answer."""


namespace = Namespace("/typing", "Who types right now; may be dropped, has no order.")
TYPING_CHANGED = namespace.event(
    "typing.changed", TypingChanged, "The people who type in a conversation now.", shedding=Shedding.VOLATILE
)


class Typing:
    """Who types in which conversation, until when. Fed by `Typed` messages of every instance."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._until: dict[UUID, dict[UUID, asyncio.TimerHandle]] = {}
        hub.on(Typed, self._apply)

    def set(self, conversation_id: UUID, user_id: UUID, typing: bool) -> None:
        """Tell every instance that a person types, or has stopped."""
        if typing or user_id in self._until.get(conversation_id, ()):
            self._hub.publish(topic_of(conversation_id), Typed(conversation_id, user_id, typing))

    def _apply(self, message: Typed) -> None:
        typists = self._until.setdefault(message.conversation_id, {})
        before = typists.pop(message.user_id, None)
        if before is not None:
            before.cancel()
        if message.typing:
            expired = Typed(message.conversation_id, message.user_id, False)
            typists[message.user_id] = asyncio.get_running_loop().call_later(EXPIRE_SECONDS, self._apply, expired)
        if not typists:
            del self._until[message.conversation_id]
        if message.typing or before is not None:
            changed = TypingChanged(message.conversation_id, sorted(typists))
            self._hub.tell_here(topic_of(message.conversation_id), TYPING_CHANGED, changed, at=clock.now())


@namespace.command(needs=Permission.SET_TYPING, errors=(NO_CONVERSATION,), limited=Limited.SET_TYPING)
def on_set_typing(connection: Connection, body: SetTyping) -> Nothing:
    """Say that one types, again every four seconds; ends by itself after eight, or with one's message."""
    require(connection.me, Permission.SET_TYPING, Relation.MEMBER)
    if not connection.hears(topic_of(body.conversation_id)):
        raise DomainError(NO_CONVERSATION)
    connection.live.set_typing(body.conversation_id, connection.me.id, body.typing)
    return Nothing()
