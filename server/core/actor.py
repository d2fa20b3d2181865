"""Who asks."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

import msgspec

from server.core.ids import NOBODY


class Role(StrEnum):
    """What a person is in the product; it decides what they may do."""

    ADMIN = "admin"
    TRAINER = "trainer"
    CLIENT = "client"
    GYM_OWNER = "gym_owner"


class Actor(msgspec.Struct, frozen=True):
    """The person (or the system itself) on whose behalf a piece of work runs."""

    id: UUID
    role: Role | None = None
    gym_id: UUID | None = None
    session_id: UUID | None = None

    @property
    def is_signed_in(self) -> bool:
        return self.role is not None


ANONYMOUS = Actor(NOBODY)
SYSTEM = Actor(NOBODY)
