"""Refreshing and signing out at the same moment: they take turns, and nothing outlives a sign-out or a theft."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from server.core.actor import ANONYMOUS
from server.core.db import Database
from server.core.errors import DomainError
from server.core.tokens import Tokens
from server.domain.identity import actions as identity
from server.domain.identity.models import Origin, SignIn
from tests.given import Given, Person
from tests.servers import SECRET
from tests.waiting import eventually

TOKENS = Tokens((SECRET,))


async def refresh(database: Database, token: str) -> SignIn:
    async with database.begin(ANONYMOUS) as tx:
        return await identity.refresh(tx, TOKENS, token, Origin())


async def refused(database: Database, token: str) -> str:
    with pytest.raises(DomainError) as error:
        await refresh(database, token)
    return error.value.case.code


async def logout(database: Database, person: Person) -> None:
    async with database.begin(person.actor) as tx:
        await identity.logout(tx)


async def is_signed_in(database: Database, access_token: str) -> bool:
    try:
        async with database.read(ANONYMOUS) as tx:
            await identity.authenticate(tx, identity.read_claims(TOKENS, access_token))
    except DomainError:
        return False
    return True


async def waiters(connection: asyncpg.Connection[Any]) -> int:
    """Count those who wait for a lock in this database."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return found


async def test_a_refresh_that_is_under_way_does_not_outlive_the_sign_out(
    database: Database, given: Given, connection: asyncpg.Connection[Any]
) -> None:
    cleo = await given.a_client()
    async with database.begin(ANONYMOUS) as tx:
        renewed = await identity.refresh(tx, TOKENS, cleo.refresh_token, Origin())
        leaving = asyncio.create_task(logout(database, cleo))
        await eventually(lambda: waiters(connection))
    await leaving
    assert not await is_signed_in(database, renewed.access_token)
    assert await refused(database, renewed.refresh_token) == "identity.refresh_invalid"


async def test_a_token_and_the_one_before_it_used_together_do_not_both_live_on(
    database: Database, given: Given, connection: asyncpg.Connection[Any]
) -> None:
    cleo = await given.a_client()
    second = (await refresh(database, cleo.refresh_token)).refresh_token
    async with database.begin(ANONYMOUS) as tx:
        third = await identity.refresh(tx, TOKENS, second, Origin())
        again = asyncio.create_task(refused(database, cleo.refresh_token))
        await eventually(lambda: waiters(connection))
    assert await again == "identity.refresh_reused"
    assert not await is_signed_in(database, third.access_token)


async def test_an_answer_that_was_asked_for_again_and_is_used_all_the_same_closes_the_session(
    database: Database, given: Given
) -> None:
    cleo = await given.a_client()
    first_answer = await refresh(database, cleo.refresh_token)
    second_answer = await refresh(database, cleo.refresh_token)
    assert await refused(database, first_answer.refresh_token) == "identity.refresh_reused"
    assert not await is_signed_in(database, second_answer.access_token)
    assert await refused(database, second_answer.refresh_token) == "identity.refresh_invalid"


async def test_an_answer_that_was_lost_may_be_asked_for_again(database: Database, given: Given) -> None:
    cleo = await given.a_client()
    await refresh(database, cleo.refresh_token)
    second_answer = await refresh(database, cleo.refresh_token)
    third = await refresh(database, second_answer.refresh_token)
    assert await is_signed_in(database, third.access_token)
