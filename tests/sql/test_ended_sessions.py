"""Which sign-in sessions have ended, and when their tokens are forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from server.core import clock
from server.core.actor import ANONYMOUS, SYSTEM
from server.core.tokens import REFRESH_LIFE
from server.domain.identity import actions as identity
from server.domain.identity.models import Origin
from tests.given import Given, Person


async def refresh(given: Given, person: Person) -> None:
    async with given.database.begin(ANONYMOUS) as tx:
        await identity.refresh(tx, given.tokens, person.refresh_token, Origin())


async def ended(given: Given, session_id: UUID) -> bool:
    async with given.database.read(SYSTEM) as tx:
        return session_id in await identity.list_ended_sessions(tx, [session_id])


async def test_a_session_whose_answer_was_lost_and_asked_for_again_has_not_ended(given: Given) -> None:
    cleo = await given.a_client()
    assert cleo.actor.session_id is not None
    await refresh(given, cleo)
    await refresh(given, cleo)
    assert not await ended(given, cleo.actor.session_id)
    async with given.database.begin(cleo.actor) as tx:
        await identity.logout(tx)
    assert await ended(given, cleo.actor.session_id)


async def test_expired_tokens_are_forgotten_one_by_one_while_their_session_lives_on(
    given: Given, connection: asyncpg.Connection[Any]
) -> None:
    cleo = await given.a_client(now=clock.now() - REFRESH_LIFE + timedelta(minutes=1))
    await refresh(given, cleo)
    async with given.database.begin(SYSTEM, clock.now() + timedelta(days=1, minutes=2)) as tx:
        assert await identity.forget_expired_sessions(tx) > 0
    left = await connection.fetch("SELECT replaced_at FROM sessions WHERE family_id = $1", cleo.actor.session_id)
    assert [row["replaced_at"] for row in left] == [None]
