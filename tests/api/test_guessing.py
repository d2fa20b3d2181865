"""Guessing passwords: the tenth wrong one is the last for a while, and a right one is never counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.given import Given, Person
from tests.servers import Answer, Server, StartServer

Guess = Callable[..., Awaitable[Answer]]


def login(server: Server, email: str, password: str, address: str = "203.0.113.7") -> Awaitable[Answer]:
    body = {"email": email, "password": password}
    return server.api.send("POST", "/auth/login", json=body, headers={"X-Forwarded-For": address})


@pytest.fixture
async def cleo(given: Given) -> Person:
    return await given.a_client()


async def test_ten_wrong_passwords_are_enough(server: Server, cleo: Person) -> None:
    wrong = [(await login(server, cleo.email, f"guess number {number}")).code for number in range(10)]
    assert set(wrong) == {"identity.wrong_password"}
    # Another spelling of the address is the same account; and now not even the right password is looked at.
    for email, password in ((cleo.email.upper(), "guess number 11"), (cleo.email, cleo.password)):
        refused = await login(server, email, password)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 60


async def test_an_account_that_nobody_has_is_refused_alike(server: Server, cleo: Person) -> None:
    nobody = f"nobody.{cleo.email}"
    answers = [(await login(server, nobody, f"guess number {number}")).code for number in range(11)]
    assert answers == ["identity.wrong_password"] * 10 + ["rate_limited"]


async def test_right_passwords_are_not_counted(server: Server, cleo: Person) -> None:
    for number in range(9):
        await login(server, cleo.email, f"guess number {number}")
    for _ in range(5):
        assert (await login(server, cleo.email, cleo.password)).status == 200
    assert (await login(server, cleo.email, "the tenth guess")).code == "identity.wrong_password"
    assert (await login(server, cleo.email, cleo.password)).code == "rate_limited"


async def test_whoever_guesses_elsewhere_does_not_lock_a_person_out(
    start_server: StartServer, given: Given, cleo: Person
) -> None:
    server = await start_server(trusted_proxies=("127.0.0.1",))
    for number in range(15):
        await login(server, cleo.email, f"guess number {number}")
    assert (await login(server, cleo.email, cleo.password, "198.51.100.1")).status == 200


async def test_one_address_does_not_guess_at_everybody(start_server: StartServer, cleo: Person) -> None:
    server = await start_server(trusted_proxies=("127.0.0.1",), guesses_per_minute=3)
    answers = [(await login(server, f"{number}.{cleo.email}", "the usual one")).code for number in range(4)]
    assert answers == ["identity.wrong_password"] * 3 + ["rate_limited"]
    assert (await login(server, cleo.email, cleo.password, "198.51.100.1")).status == 200
