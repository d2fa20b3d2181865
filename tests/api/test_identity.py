"""Joining, signing in, staying signed in, signing out, and one's own profile."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from server.core import clock
from server.core.actor import ANONYMOUS
from server.core.ids import new_id
from server.domain.identity import actions as identity
from server.domain.identity.models import Origin, SignIn
from tests.given import PASSWORD, Given
from tests.servers import Answer, Server, StartServer


def a_registration(**changed: object) -> dict[str, object]:
    return {"email": f"{new_id().hex}@people.test", "password": PASSWORD, "name": "Cleo Client"} | changed


async def refresh(server: Server, token: str) -> Answer:
    return await server.api.post("/auth/refresh", {"refresh_token": token})


async def refresh_at(server: Server, token: str, now: datetime) -> SignIn:
    """Spend a refresh token at another moment than now."""
    async with server.database.begin(ANONYMOUS, now) as tx:
        return await identity.refresh(tx, server.tokens, token, Origin())


async def whose(server: Server, access_token: str) -> str:
    """Return whose an access token is, or the code with which it is refused."""
    answer = await server.as_(access_token).get("/users/me")
    return str(answer.body["id"]) if answer.status == 200 else answer.code


# Joining.


async def test_whoever_joins_is_signed_in(server: Server) -> None:
    body = a_registration(name=" Cleo Client ")
    answer = await server.api.post("/auth/register", body)
    assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
    user = answer.body["user"]
    assert (user["email"], user["name"], user["role"]) == (body["email"], "Cleo Client", "client")
    assert (user["bio"], user["time_zone"], user["locale"], user["gym_id"]) == ("", "UTC", "en", None)
    assert user["handle"].startswith("cleo.client-")
    assert datetime.now(UTC) - datetime.fromisoformat(user["created_at"]) < timedelta(minutes=1)
    assert await whose(server, answer.body["access_token"]) == user["id"]
    assert (await refresh(server, answer.body["refresh_token"])).status == 200


async def test_the_app_may_choose_the_id_and_a_second_try_is_told_so(server: Server) -> None:
    body = a_registration(id=str(new_id()))
    assert (await server.api.post("/auth/register", body)).body["user"]["id"] == body["id"]
    again = await server.api.post("/auth/register", body | {"email": f"{new_id().hex}@people.test"})
    assert (again.status, again.code) == (409, "identity.id_taken")


async def test_an_address_belongs_to_one_person_however_it_is_written(server: Server) -> None:
    body = a_registration()
    assert (await server.api.post("/auth/register", body)).status == 201
    again = await server.api.post("/auth/register", a_registration(email=str(body["email"]).upper()))
    assert (again.status, again.code) == (409, "identity.email_taken")


async def test_trainers_join_by_themselves_only_where_that_is_allowed(
    server: Server, start_server: StartServer
) -> None:
    answer = await server.api.post("/auth/register", a_registration(role="trainer"))
    assert (answer.status, answer.body["user"]["role"]) == (201, "trainer")
    strict = await start_server(trainer_registration=False)
    refused = await strict.api.post("/auth/register", a_registration(role="trainer"))
    assert (refused.status, refused.code) == (403, "identity.registration_closed")


@pytest.mark.parametrize("role", ["admin", "gym_owner", "root", ""])
async def test_nobody_makes_themselves_more_than_a_trainer(server: Server, role: str) -> None:
    refused = await server.api.post("/auth/register", a_registration(role=role))
    assert (refused.status, refused.code, refused.wrong_fields) == (422, "invalid", ["/role"])


@pytest.mark.parametrize("password", ["short", "x" * 129, "nul\x00nul12"])
async def test_a_password_has_8_to_128_characters(server: Server, password: str) -> None:
    refused = await server.api.post("/auth/register", a_registration(password=password))
    assert (refused.status, refused.wrong_fields) == (422, ["/password"])


async def columns_of_users(server: Server) -> set[str]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(server.config.database_url)
    try:
        rows = await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'users'"
        )
    finally:
        await connection.close()
    return {row["column_name"] for row in rows}


async def test_no_other_column_can_be_set_by_joining(server: Server) -> None:
    columns = await columns_of_users(server) - {"id", "email", "name", "role"}
    assert {"password_hash", "is_trainer", "is_active", "gym_id", "created_at"} <= columns
    body = a_registration()
    refused = await server.api.post("/auth/register", body | dict.fromkeys(columns, True))
    assert (refused.status, refused.wrong_fields) == (422, sorted(f"/{column}" for column in columns))
    login = await server.api.post("/auth/login", {"email": body["email"], "password": PASSWORD})
    assert login.code == "identity.wrong_password"


async def test_no_other_column_can_be_set_by_changing_ones_profile(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    api = server.as_(cleo.access_token)
    before = (await api.get("/users/me")).body
    columns = await columns_of_users(server) - {"name", "handle", "bio", "time_zone", "locale"}
    for column in columns:
        refused = await api.put("/users/me", {"bio": "changed", column: before.get(column)})
        assert (refused.status, refused.wrong_fields) == (422, [f"/{column}"])
    assert (await api.get("/users/me")).body == before


# Signing in.


async def test_a_person_signs_in_however_they_write_their_address(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    answer = await server.api.post("/auth/login", {"email": cleo.email.upper(), "password": cleo.password})
    assert (answer.status, answer.body["user"]["id"]) == (200, str(cleo.id))
    assert await whose(server, answer.body["access_token"]) == str(cleo.id)


async def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    wrong = await server.api.post("/auth/login", {"email": cleo.email, "password": "not the password"})
    unknown = await server.api.post("/auth/login", {"email": "nobody@people.test", "password": "not the password"})
    assert (wrong.status, wrong.code) == (401, "identity.wrong_password")
    for answer in (wrong, unknown):
        assert answer.body.pop("request_id") == answer.headers["X-Request-Id"]
    assert (unknown.status, unknown.body) == (wrong.status, wrong.body)
    own = {"X-Request-ID", "Date"}
    assert {(k, v) for k, v in wrong.headers.items() if k not in own} == {
        (k, v) for k, v in unknown.headers.items() if k not in own
    }


async def test_no_secret_reaches_the_log(server: Server, printed: io.StringIO) -> None:
    body = a_registration(password="hunter2 hunter2", name="Zebulon Quux")
    joined = await server.api.post("/auth/register", body)
    await server.api.post("/auth/login", {"email": body["email"], "password": "hunter3 hunter3"})
    await refresh(server, joined.body["refresh_token"])
    await server.as_(joined.body["access_token"]).put("/users/me", {"bio": "likes hunter4"})
    said = printed.getvalue()
    assert said.count('"event": "request"') == 4
    for secret in ("hunter", "Zebulon", "@people.test", joined.body["access_token"], joined.body["refresh_token"]):
        assert secret not in said


# Staying signed in.


async def test_a_refresh_token_is_spent_for_a_new_pair(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    answer = await refresh(server, cleo.refresh_token)
    assert (answer.status, answer.body["user"]["id"]) == (200, str(cleo.id))
    assert answer.body["refresh_token"] != cleo.refresh_token
    assert await whose(server, answer.body["access_token"]) == str(cleo.id)
    assert await whose(server, cleo.access_token) == str(cleo.id)


async def test_a_lost_answer_may_be_asked_for_again_within_ten_seconds(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    await refresh_at(server, cleo.refresh_token, clock.now() - timedelta(seconds=8))
    again = await refresh(server, cleo.refresh_token)
    assert again.status == 200
    assert (await refresh(server, again.body["refresh_token"])).status == 200


async def test_a_token_that_was_spent_longer_ago_closes_the_session(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    stolen = await refresh_at(server, cleo.refresh_token, clock.now() - timedelta(seconds=11))
    theft = await refresh(server, cleo.refresh_token)
    assert (theft.status, theft.code) == (401, "identity.refresh_reused")
    assert await whose(server, cleo.access_token) == "identity.session_ended"
    assert await whose(server, stolen.access_token) == "identity.session_ended"
    assert (await refresh(server, stolen.refresh_token)).code == "identity.refresh_invalid"


async def test_a_token_whose_answer_was_used_closes_the_session_at_once(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    first = (await refresh(server, cleo.refresh_token)).body
    second = (await refresh(server, first["refresh_token"])).body
    assert (await refresh(server, cleo.refresh_token)).code == "identity.refresh_reused"
    assert await whose(server, second["access_token"]) == "identity.session_ended"


async def test_a_theft_closes_one_session_and_no_other(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    login = (await server.api.post("/auth/login", {"email": cleo.email, "password": cleo.password})).body
    await refresh_at(server, cleo.refresh_token, clock.now() - timedelta(minutes=1))
    assert (await refresh(server, cleo.refresh_token)).code == "identity.refresh_reused"
    assert await whose(server, login["access_token"]) == str(cleo.id)
    assert (await refresh(server, login["refresh_token"])).status == 200


async def test_a_session_lives_on_as_long_as_it_is_used_within_seven_days(server: Server, given: Given) -> None:
    now = clock.now()
    cleo = await given.a_client(now=now - timedelta(days=6))
    third = await refresh_at(server, cleo.refresh_token, now)
    assert server.tokens.read_refresh(third.refresh_token).exp >= (now + timedelta(days=7)).timestamp() - 1
    assert (await refresh(server, third.refresh_token)).status == 200


async def test_after_seven_days_one_signs_in_again(server: Server, given: Given) -> None:
    almost = await given.a_client(now=clock.now() - timedelta(days=7) + timedelta(minutes=1))
    late = await given.a_client(now=clock.now() - timedelta(days=7) - timedelta(minutes=1))
    assert (await refresh(server, almost.refresh_token)).status == 200
    refused = await refresh(server, late.refresh_token)
    assert (refused.status, refused.code) == (401, "identity.refresh_invalid")


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30"])
async def test_what_is_no_refresh_token_is_not_spent(server: Server, token: str) -> None:
    refused = await refresh(server, token)
    assert (refused.status, refused.code) == (401, "identity.refresh_invalid")


async def test_an_access_token_is_no_refresh_token_and_the_other_way_round(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    assert (await refresh(server, cleo.access_token)).code == "identity.refresh_invalid"
    assert await whose(server, cleo.refresh_token) == "identity.token_invalid"


async def test_an_access_token_lasts_fifteen_minutes(server: Server, given: Given) -> None:
    cleo = await given.a_client()

    def token_of(age: timedelta) -> str:
        assert cleo.actor.session_id
        return server.tokens.access(
            user_id=cleo.id,
            email=cleo.email,
            role=cleo.user.role,
            gym_id=None,
            session_id=cleo.actor.session_id,
            now=clock.now() - age,
        )

    assert await whose(server, token_of(timedelta(minutes=14))) == str(cleo.id)
    assert await whose(server, token_of(timedelta(minutes=16))) == "identity.token_expired"


async def test_tokens_signed_with_the_secret_before_the_last_change_stay_good(
    server: Server, given: Given, start_server: StartServer
) -> None:
    cleo = await given.a_client()
    changed = await start_server(secret_key="n" * 40, secret_key_previous=server.config.secret_key)
    assert await whose(changed, cleo.access_token) == str(cleo.id)
    stranger = await start_server(secret_key="n" * 40)
    assert await whose(stranger, cleo.access_token) == "identity.token_invalid"


# Signing out.


async def test_signing_out_ends_this_session_and_no_other(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    other = (await server.api.post("/auth/login", {"email": cleo.email, "password": cleo.password})).body
    answer = await server.as_(cleo.access_token).post("/auth/logout")
    assert (answer.status, answer.body) == (204, b"")
    assert await whose(server, cleo.access_token) == "identity.session_ended"
    assert (await refresh(server, cleo.refresh_token)).code == "identity.refresh_invalid"
    assert await whose(server, other["access_token"]) == str(cleo.id)
    assert (await server.as_(cleo.access_token).post("/auth/logout")).code == "identity.session_ended"


# Who asks.


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic Y2xlbzpjbGVv", "Token x", "bearer"])
async def test_without_a_bearer_token_one_is_nobody(server: Server, header: str) -> None:
    refused = await server.api.send("GET", "/users/me", headers={"Authorization": header})
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_word_bearer_may_be_written_in_any_case(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    answer = await server.api.send("GET", "/users/me", headers={"Authorization": f"bEARER {cleo.access_token}"})
    assert answer.status == 200


async def test_a_person_who_is_deactivated_is_out_at_once(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    connection: asyncpg.Connection[Any] = await asyncpg.connect(server.config.database_url)
    await connection.execute("UPDATE users SET is_active = false WHERE id = $1", cleo.id)
    await connection.close()
    assert await whose(server, cleo.access_token) == "identity.session_ended"
    login = await server.api.post("/auth/login", {"email": cleo.email, "password": cleo.password})
    assert login.code == "identity.wrong_password"


# One's own profile.


async def test_a_person_sees_their_own_profile(server: Server, given: Given) -> None:
    tara = await given.a_trainer("Tara Trainer")
    answer = await server.as_(tara.access_token).get("/users/me")
    assert answer.status == 200
    assert answer.body.keys() == {
        *("id", "email", "role", "name", "handle", "bio", "time_zone", "locale", "gym_id", "created_at", "updated_at")
    }
    assert (UUID(answer.body["id"]), answer.body["role"]) == (tara.id, "trainer")


async def test_what_is_left_out_of_a_change_stays(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    api = server.as_(cleo.access_token)
    before = (await api.get("/users/me")).body
    change = {"bio": "I row.\nOften.", "time_zone": "Europe/Berlin", "locale": "de-DE"}
    changed = (await api.put("/users/me", change)).body
    assert changed == before | change | {"updated_at": changed["updated_at"]}
    assert changed["updated_at"] > before["updated_at"]
    assert (await api.put("/users/me", {"bio": ""})).body["bio"] == ""
    assert (await api.put("/users/me", {})).body["locale"] == "de-DE"


async def test_a_handle_belongs_to_one_person_however_it_is_written(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    handle = f"Cleo_{new_id().hex[:8]}"
    assert (await server.as_(cleo.access_token).put("/users/me", {"handle": handle})).body["handle"] == handle
    taken = await server.as_(tara.access_token).put("/users/me", {"handle": handle.lower()})
    assert (taken.status, taken.code) == (409, "identity.handle_taken")
    assert (await server.as_(cleo.access_token).put("/users/me", {"handle": handle.upper()})).status == 200


@pytest.mark.parametrize("zone", ["Mars/Olympus", "europe/berlin", "", "UTC\n", "../UTC", "CET-1"])
async def test_a_time_zone_is_one_of_the_iana_database(server: Server, given: Given, zone: str) -> None:
    cleo = await given.a_client()
    refused = await server.as_(cleo.access_token).put("/users/me", {"time_zone": zone, "bio": "changed"})
    assert (refused.status, refused.code, refused.wrong_fields) == (422, "invalid", ["/time_zone"])
    assert (await server.as_(cleo.access_token).get("/users/me")).body["bio"] == ""
