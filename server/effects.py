"""What follows from each event. Read this file to learn what the product does by itself.

Effects may run twice and late: they only tell connected people, or write our own tables under a unique key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from server.core.events import Event
from server.core.outbox import Effect, Effects
from server.core.ports import World
from server.domain.chat.models import ConversationCreated, MessageCreated, MessageRead
from server.domain.identity.models import SessionRevoked, UserRegistered, UserUpdated
from server.realtime.chat import tell_message, tell_receipt
from server.realtime.session import close_session, tell_badge, tell_conversation

E = TypeVar("E", bound=Event)


def on(event: type[E], *effects: Callable[[World, UUID, E], Awaitable[None]]) -> tuple[type[Event], tuple[Effect, ...]]:
    """Say what follows from an event; the type checker sees that the effects take it."""
    return event, effects


EFFECTS: Effects = dict(
    [
        on(ConversationCreated, tell_conversation),
        on(MessageCreated, tell_message),
        on(MessageRead, tell_receipt, tell_badge),
        on(SessionRevoked, close_session),
        # Other programs hear these on Redis; nothing of ours follows yet.
        on(UserRegistered),
        on(UserUpdated),
    ]
)
