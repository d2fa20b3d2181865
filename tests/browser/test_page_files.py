"""The files a browser gets."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from server.handlers import page
from server.handlers.page import DemoPerson

Client = TestClient[web.Request, web.Application]
CLEO = DemoPerson("019b76da-a800-7000-8000-000000000005", "Cleo Client", "cleo@demo.fitsync.test", "client")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application()
    page.mount(app, [CLEO])
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_the_page_runs_only_our_own_files(client: Client) -> None:
    answer = await client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.content_type == "text/html"
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in await answer.text()


async def test_a_browser_that_has_a_file_is_not_sent_it_again(client: Client) -> None:
    first = await client.get("/page/app.js")
    again = await client.get("/page/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, first.content_type) == (200, "text/javascript")
    assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/page/nothing.js", "/page/..%2f..%2fapp.py", "/page/%2e%2e/app.py", "/docs/assets/index.css"]
)
async def test_no_other_file_can_be_had(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_the_api_reference_comes_from_this_process_alone(client: Client) -> None:
    text = await (await client.get("/docs")).text()
    assert "http" not in text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/assets/{name}" in text
        assert (await client.get(f"/docs/assets/{name}")).status == 200


async def test_demo_people_are_offered_with_their_password_only_where_there_are_any(client: Client) -> None:
    offered = await (await client.get("/demo.json")).json()
    assert offered["people"][0]["email"] == CLEO.email
    assert offered["password"] == "demo-password"
    app = web.Application()
    page.mount(app)
    async with TestClient(TestServer(app)) as other:
        assert await (await other.get("/demo.json")).json() == {"people": []}
