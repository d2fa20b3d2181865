"""What all answers have in common, and the pages that explain them."""

from __future__ import annotations

import io

import pytest

from server import catalogue
from server.core.ids import new_id
from tests.given import Given
from tests.servers import Server


async def test_every_answer_carries_the_id_of_its_request_and_so_does_the_log(
    server: Server, printed: io.StringIO
) -> None:
    answer = await server.api.get("/users/me")
    assert answer.body["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["X-Request-Id"] in printed.getvalue()


async def test_a_request_may_bring_its_own_id(server: Server, printed: io.StringIO) -> None:
    own = f"app-{new_id()}"
    answer = await server.api.send("GET", "/users/me", headers={"X-Request-Id": own})
    assert answer.headers["X-Request-Id"] == answer.body["request_id"] == own
    assert own in printed.getvalue()


@pytest.mark.parametrize("own", ["short", "x" * 65, "with blanks in it", "<script>alert(1)</script>"])
async def test_an_id_that_does_not_look_like_one_is_replaced(server: Server, own: str) -> None:
    answer = await server.api.send("GET", "/users/me", headers={"X-Request-Id": own})
    assert answer.headers["X-Request-Id"] != own


async def test_no_answer_of_the_api_is_kept_or_guessed_at_by_a_browser(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    api = server.as_(cleo.access_token)
    for answer in (await api.get("/users/me"), await api.get("/conversations"), await server.api.get("/users/me")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("code", catalogue.error_cases())
async def test_every_error_code_has_a_page(server: Server, code: str) -> None:
    page = await server.get(f"/problems/{code}")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert f"<h1>{catalogue.error_cases()[code].title.replace(chr(39), '&#x27;')}</h1>".encode() in page.body


async def test_an_error_code_that_we_do_not_have_has_no_page(server: Server) -> None:
    assert (await server.get("/problems/nothing")).code == "not_found"


async def test_a_server_that_can_work_is_healthy_and_ready(server: Server) -> None:
    health, ready = await server.get("/health"), await server.get("/ready")
    assert (health.status, health.body["status"]) == (200, "ok")
    assert (ready.status, ready.body["status"], ready.body["checks"]["postgres"]) == (200, "ok", True)
