"""Facts: what happened, in the past tense."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A fact with its wire name as tag (`message.created`). New fields are optional; a new meaning is a new event.

    `journal` names the table whose row *is* the durable record of the fact. Such an event skips the outbox: its
    effects run straight after the commit and whoever misses them reads the table (`sync`). All other events are
    written to the outbox in the same transaction and relayed at least once.
    """

    journal: ClassVar[str | None] = None


class EventEnvelope(msgspec.Struct, frozen=True):
    """An event as it lies in the outbox and on the Redis channel of its name."""

    id: UUID
    type: str
    occurred_at: datetime
    actor_id: UUID | None
    gym_id: UUID | None
    data: msgspec.Raw


def name_of(event: Event | type[Event]) -> str:
    """Return the wire name of an event or of its class."""
    return str(event.__struct_config__.tag)
