"""Where a request comes from: stored with the session, believed from our own proxies only, never in the log."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import asyncpg
from multidict import CIMultiDict

from server.core.ids import new_id
from tests.servers import Server, StartServer
from tests.waiting import eventually


async def address_of_session(server: Server, *forwarded_for: str) -> str | None:
    """Register with these headers of that name; return the address that is stored."""
    headers = CIMultiDict[str]({"Content-Type": "application/json"})
    for one in forwarded_for:
        headers.add("X-Forwarded-For", one)
    user_id = new_id()
    body = {"email": f"{user_id.hex}@people.test", "password": "a password", "name": "Cleo", "id": str(user_id)}
    async with server.http.post(f"{server.url}/api/v1/auth/register", json=body, headers=headers) as answer:
        assert answer.status == 201
    connection: asyncpg.Connection[Any] = await asyncpg.connect(server.config.database_url)
    try:
        found: str | None = await connection.fetchval(
            "SELECT host(ip_address) FROM sessions WHERE user_id = $1", user_id
        )
        return found
    finally:
        await connection.close()


async def test_a_client_cannot_choose_its_address(start_server: StartServer) -> None:
    server = await start_server(trusted_proxies=("127.0.0.1",))
    assert await address_of_session(server, "203.0.113.7") == "203.0.113.7"
    assert await address_of_session(server, "198.51.100.1, 203.0.113.7") == "203.0.113.7"
    # Some proxies leave the client's header alone and add their own after it.
    assert await address_of_session(server, "198.51.100.1", "203.0.113.7") == "203.0.113.7"


async def test_who_is_no_proxy_of_ours_is_not_believed(server: Server) -> None:
    assert await address_of_session(server, "203.0.113.7") == "127.0.0.1"


async def test_what_is_not_http_is_logged_without_an_address(server: Server, printed: io.StringIO) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.url.rpartition(":")[2])
    writer.write(b"GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 400")
    writer.close()
    assert await eventually(lambda: "Error handling request" in printed.getvalue())
    assert "127.0.0.1" not in printed.getvalue()
