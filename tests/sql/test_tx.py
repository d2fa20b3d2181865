"""The Tx that every action receives: rows become structs, constraints become errors, refusals undo or stand."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from server.core.actor import SYSTEM, Actor, Role
from server.core.db import Database, Tx
from server.core.errors import CONFLICT_CASES, FORBIDDEN, UNAVAILABLE, DomainError
from server.core.ids import new_id
from server.core.queries import Query
from server.domain.identity.actions import identity
from server.domain.identity.models import EMAIL_TAKEN, User
from tests.given import Given

ME = Actor(UUID(int=1), Role.CLIENT)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
