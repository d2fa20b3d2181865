"""The Tx that every action receives: rows become structs, constraints become errors, refusals undo or stand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from server.core.actor import SYSTEM, Actor, Role
from server.core.db import Database, Tx
from server.core.errors import FORBIDDEN, UNAVAILABLE, DomainError
from server.core.ids import new_id
from server.core.queries import Query
from server.domain.identity.actions import identity
from server.domain.identity.models import EMAIL_TAKEN, Login, User
from tests.given import Given, Person

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Count(msgspec.Struct):
    number: int


COUNT_PEOPLE = Query("test.count_people", "SELECT count(*) AS number FROM users WHERE email LIKE $1", ("pattern",))
SLEEP = Query("test.sleep", "SELECT 1 AS number FROM pg_sleep(10)", ())
CHANGE = Query("test.change", "UPDATE users SET bio = $1 WHERE id = $2", ("bio", "id"))


async def insert_user(tx: Tx, email: str, raises: dict[str, Exception] | None = None) -> User:
    user_id = new_id()
    return await tx.one(
        User,
        identity.insert_user,
        raises=raises,
        id=user_id,
        email=email,
        password_hash=None,
        role=Role.CLIENT,
        name="Cleo",
        handle=user_id.hex,
        now=tx.now,
    )


def an_address() -> str:
    return f"{new_id().hex}@people.test"


async def bio_of(database: Database, person: Person) -> str:
    async with database.read(SYSTEM) as tx:
        return (await tx.one(User, identity.select_user, id=person.id)).bio


async def test_rows_become_structs(database: Database) -> None:
    async with database.begin(SYSTEM, NOW) as tx:
        user = await insert_user(tx, an_address())
        assert (user.name, user.role, user.gym_id, user.created_at) == ("Cleo", Role.CLIENT, None, NOW)
        assert await tx.one(User, identity.select_user, id=user.id) == user
        assert await tx.many(User, identity.select_user, id=user.id) == [user]
        assert await tx.maybe(Login, identity.select_login, email=user.email) == Login(user.id, None)


async def test_no_row_is_none_or_a_mistake_of_ours(database: Database) -> None:
    async with database.read(SYSTEM) as tx:
        assert await tx.maybe(User, identity.select_user, id=new_id()) is None
        assert await tx.many(User, identity.select_user, id=new_id()) == []
        with pytest.raises(LookupError, match=r"identity\.select_user"):
            await tx.one(User, identity.select_user, id=new_id())


@pytest.mark.parametrize("arguments", [{}, {"id": UUID(int=1), "name": "Cleo"}, {"user_id": UUID(int=1)}])
async def test_a_missing_and_a_surplus_argument_are_mistakes_of_ours(
    database: Database, arguments: dict[str, Any]
) -> None:
    async with database.read(SYSTEM) as tx:
        with pytest.raises(TypeError, match=r"identity\.select_user takes \['id'\]"):
            await tx.maybe(User, identity.select_user, **arguments)


async def test_a_violated_constraint_becomes_the_error_of_its_name(database: Database) -> None:
    taken = an_address()
    async with database.begin(SYSTEM) as tx:
        await insert_user(tx, taken)

    async def insert_again() -> None:
        async with database.begin(SYSTEM) as tx:
            await insert_user(tx, taken.upper(), {"users_email_free": DomainError(EMAIL_TAKEN)})

    with pytest.raises(DomainError) as refused:
        await insert_again()
    assert refused.value.case is EMAIL_TAKEN


async def test_a_constraint_that_nobody_expected_stays_what_it_is(database: Database) -> None:
    taken = an_address()

    async def insert_twice() -> None:
        async with database.begin(SYSTEM) as tx:
            await insert_user(tx, taken)
            await insert_user(tx, taken, {"users_pkey": DomainError(EMAIL_TAKEN)})

    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_twice()


async def change_and_fail(database: Database, person: Person, error: Exception) -> None:
    async with database.begin(person.actor) as tx:
        await tx.run(CHANGE, bio="changed", id=person.id)
        raise error


@pytest.mark.parametrize("error", [DomainError(FORBIDDEN), ValueError("a mistake")])
async def test_what_fails_is_undone(database: Database, given: Given, error: Exception) -> None:
    cleo = await given.a_client()
    with pytest.raises(type(error)):
        await change_and_fail(database, cleo, error)
    assert await bio_of(database, cleo) == ""


async def test_a_refusal_that_stands_keeps_the_work(database: Database, given: Given) -> None:
    cleo = await given.a_client()
    with pytest.raises(DomainError) as refused:
        await change_and_fail(database, cleo, DomainError(FORBIDDEN, stands=True))
    assert refused.value.case is FORBIDDEN
    assert await bio_of(database, cleo) == "changed"


async def test_a_snapshot_sees_one_moment_and_a_read_the_latest(database: Database) -> None:
    domain = new_id().hex
    pattern = f"%@{domain}.test"
    async with database.snapshot(SYSTEM) as snapshot, database.read(SYSTEM) as read:
        assert (await snapshot.one(Count, COUNT_PEOPLE, pattern=pattern)).number == 0
        async with database.begin(SYSTEM) as tx:
            await insert_user(tx, f"cleo@{domain}.test")
        assert (await snapshot.one(Count, COUNT_PEOPLE, pattern=pattern)).number == 0
        assert (await read.one(Count, COUNT_PEOPLE, pattern=pattern)).number == 1


async def test_nothing_is_written_through_a_snapshot(database: Database, given: Given) -> None:
    cleo = await given.a_client()

    async def write() -> None:
        async with database.snapshot(SYSTEM) as tx:
            await tx.run(CHANGE, bio="changed", id=cleo.id)

    with pytest.raises(DomainError):
        await write()
    assert await bio_of(database, cleo) == ""


async def test_a_statement_that_takes_too_long_is_given_up(database: Database) -> None:
    async def dawdle() -> None:
        async with database.read(SYSTEM) as tx:
            await tx.one(Count, SLEEP)

    with pytest.raises(DomainError) as refused:
        await dawdle()
    assert refused.value.case is UNAVAILABLE
    assert refused.value.retry_after is not None


async def test_two_who_wait_for_each_other_are_told_to_try_again(database: Database, given: Given) -> None:
    one, other = await given.a_client(), await given.a_client()
    both_began = asyncio.Barrier(2)

    async def change(first: Person, second: Person) -> None:
        async with database.begin(Actor(first.id, Role.CLIENT)) as tx:
            await tx.run(CHANGE, bio="changed", id=first.id)
            await both_began.wait()
            await tx.run(CHANGE, bio="changed", id=second.id)

    outcomes = await asyncio.gather(change(one, other), change(other, one), return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, DomainError)]
    assert sorted(map(str, outcomes)) == sorted(["None", "We cannot answer right now"])
    assert [refusal.case for refusal in refusals] == [UNAVAILABLE]
