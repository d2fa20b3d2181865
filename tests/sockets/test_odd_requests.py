"""What no client sends: answered, and no fault of ours in the log."""

import asyncio

import pytest

from tests.servers import Server

SHAKE = (
    "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: {origin}\r\n\r\n"
)
FIRST = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
OURS = "/socket.io/?EIO=4&transport=websocket"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (SHAKE.format(target="http://[/socket.io/", origin="http://a"), "40"),
        (SHAKE.format(target="//[", origin="http://a"), "40"),
        (SHAKE.format(target=OURS, origin="http://["), "403"),
        (FIRST + SHAKE.format(target=OURS, origin="http://["), "403"),
    ],
)
async def test_what_is_no_url_is_refused(server: Server, said: str, status: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.url.rpartition(":")[2])
    writer.write(said.encode())
    async with asyncio.timeout(5):
        await reader.readuntil(f" {status}".encode())
    writer.close()
