"""Who takes part: people in rooms, their rows in the database, and their tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
import jwt

from server.core.actor import Role
from server.core.ids import uuid7
from server.core.tokens import Tokens

SECRET_KEY = secrets.token_hex(32)
PEER_SECRET = secrets.token_hex(32)
_EPOCH_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
_PERSON, _CONVERSATION, _SESSION = range(3)


@dataclass(frozen=True)
class Crowd:
    """Rooms of one size. In each the first members send, and the last may stop reading."""

    number: int
    rooms: int
    size: int
    senders: int = 1
    stalled: int = 0

    def __len__(self) -> int:
        return self.rooms * self.size

    def id_of(self, kind: int, index: int) -> UUID:
        """Return the id of a person, a conversation or a session."""
        return uuid7(_EPOCH_MS + kind, self.number << 32 | index)

    def seats(self) -> Iterator[tuple[int, int]]:
        """List (person, room); neighbours in the list sit in different rooms, so that work is spread."""
        for place in range(self.size):
            for room in range(self.rooms):
                yield room * self.size + place, room

    def lines(self, *, ours: bool, limit: int | None = None) -> list[str]:
        """Return what the load tool reads: token, conversation and role of everybody."""
        sign = _ours(datetime.now(UTC)) if ours else _peers(datetime.now(UTC))
        return [
            f"{sign(self, person)} {self.id_of(_CONVERSATION, room)} {self._role(person % self.size)}"
            for person, room in islice(self.seats(), limit)
        ]

    def _role(self, place: int) -> str:
        if place < self.senders:
            return "s"
        return "x" if place >= self.size - self.stalled else "r"


def _email(crowd: Crowd, person: int) -> str:
    return f"{crowd.number}.{person}@bench.test"


def _claims(crowd: Crowd, person: int) -> dict[str, Any]:
    return {
        "user_id": crowd.id_of(_PERSON, person),
        "email": _email(crowd, person),
        "role": Role.CLIENT,
        "gym_id": None,
        "session_id": crowd.id_of(_SESSION, person),
    }


def _ours(now: datetime) -> Any:
    tokens = Tokens((SECRET_KEY,))
    return lambda crowd, person: tokens.access(**_claims(crowd, person), now=now)


def _peers(now: datetime) -> Any:
    """Sign the same claims with the peers' secret."""
    ours = _ours(now)

    def sign(crowd: Crowd, person: int) -> str:
        claims = jwt.decode(ours(crowd, person), options={"verify_signature": False})
        return jwt.encode(claims, PEER_SECRET, "HS256")

    return sign


async def seat(database_url: str, crowds: list[Crowd]) -> None:
    """Write everybody's rows: a crowd of thousands does not come in through the front door."""
    now = datetime.now(UTC)
    connection = await asyncpg.connect(database_url)
    try:
        for crowd in crowds:
            await _write(connection, crowd, now)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _write(connection: Any, crowd: Crowd, now: datetime) -> None:
    people = range(len(crowd))
    rows = {
        "users": (
            ("id", "email", "role", "name", "handle", "created_at", "updated_at"),
            [
                (crowd.id_of(_PERSON, at), _email(crowd, at), "client", f"P {at}", f"p{crowd.number}_{at}", now, now)
                for at in people
            ],
        ),
        "sessions": (
            ("id", "family_id", "user_id", "token_hash", "created_at", "expires_at"),
            [
                (
                    id_,
                    id_,
                    crowd.id_of(_PERSON, at),
                    hashlib.sha256(id_.bytes).digest(),
                    now,
                    now.replace(year=now.year + 1),
                )
                for at, id_ in ((at, crowd.id_of(_SESSION, at)) for at in people)
            ],
        ),
        "conversations": (
            ("id", "kind", "name", "created_by", "created_at", "last_message_at"),
            [
                (crowd.id_of(_CONVERSATION, room), "group", "Bench", crowd.id_of(_PERSON, room * crowd.size), now, now)
                for room in range(crowd.rooms)
            ],
        ),
        "conversation_participants": (
            ("conversation_id", "user_id", "role", "joined_at"),
            [
                (crowd.id_of(_CONVERSATION, room), crowd.id_of(_PERSON, person), "member", now)
                for person, room in crowd.seats()
            ],
        ),
    }
    for table, (columns, records) in rows.items():
        await connection.copy_records_to_table(table, records=records, columns=columns)
