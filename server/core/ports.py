"""What actions and effects may ask of the outside; adapters and the socket engine answer."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from server.core.actor import SYSTEM, Actor
from server.core.events import EventEnvelope

if TYPE_CHECKING:
    from server.core.db import Tx


class Passwords(Protocol):
    """Slow one-way hashing, off the event loop."""

    async def hash(self, password: str) -> str: ...

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Compare. Without a hash it takes as long and says no, so that nobody learns which addresses exist."""
        ...


class Shedding(StrEnum):
    """What becomes of an event for somebody whose connection lags behind.

    KEPT is always sent. REPLACEABLE is left out under pressure: the next head of its topic makes up for it. VOLATILE is
    left out first, and nothing makes up for it.
    """

    KEPT = "kept"
    REPLACEABLE = "replaceable"
    VOLATILE = "volatile"


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """Something that connected people are told: its namespace, its name and the type of its data."""

    namespace: str
    name: str
    data: Any
    sequenced: bool
    summary: str
    shedding: Shedding = Shedding.KEPT


class Live(Protocol):
    """Tell connected people, on every instance. A hint: the database is the truth."""

    def tell(self, topic: str, event: LiveEvent, data: object, *, at: datetime, seq: int | None = None) -> None:
        """Send one event to everybody who hears a topic."""
        ...

    def join(self, user_id: UUID, topic: str) -> None:
        """Let every open connection of a person hear a topic from now on."""
        ...

    def set_typing(self, conversation_id: UUID, user_id: UUID, typing: bool) -> None:
        """Say that a person types, or does not any more."""
        ...

    def close(self, session_id: UUID, user_id: UUID, code: str) -> None:
        """Close every connection of a person's sign-in session."""
        ...


class Bus(Protocol):
    """Carries messages between instances. At most once: what is lost heals by seq."""

    @property
    def has_others(self) -> bool:
        """Whether there can be other instances; without them nothing needs to be encoded."""
        ...

    def publish(self, topic: str, message: bytes) -> None:
        """Hand a message to the other instances that hear a topic; never waits."""
        ...

    def hear(self, topic: str) -> None:
        """Receive what others publish on a topic, from soon on."""
        ...

    def forget(self, topic: str) -> None:
        """Receive it no more."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether other instances can be heard."""
        ...

    async def settled(self) -> None:
        """Wait until every `hear` so far holds; a bus that is away keeps nobody waiting for long."""
        ...

    def announce(self, channel: str, message: bytes) -> None:
        """Let other programs hear a fact on a channel of its own; never waits."""
        ...


class World(Protocol):
    """What an effect may use."""

    @property
    def live(self) -> Live: ...

    def begin(self, me: Actor = SYSTEM) -> AbstractAsyncContextManager[Tx]:
        """Open a transaction in which an effect writes."""
        ...

    def read(self, user_id: UUID) -> AbstractAsyncContextManager[Tx]:
        """Look as somebody would who is signed in."""
        ...

    def publish(self, event: EventEnvelope) -> None:
        """Let other programs hear a fact on the Redis channel of its name."""
        ...
