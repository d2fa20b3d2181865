"""The opening handshake: who comes in, who does not and why, and what goes on to HTTP."""

import asyncio
import base64
import hashlib

import msgspec
import pytest

from server.core.addresses import Proxies
from server.handlers.front import Door, Front
from server.handlers.handshake import is_allowed
from tests.given import Given
from tests.servers import Server
from tests.sockets.engine.conftest import Dial, Run
from tests.sockets.engine.peer import PATH, handshake, masked

ENGINE = "/socket.io/?transport=websocket"


async def test_the_answer_proves_that_the_key_was_read(dial: Dial) -> None:
    peer = await dial()
    peer.write(handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
    answer = await peer.head()
    assert answer.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer


async def test_a_handshake_may_arrive_byte_by_byte_and_with_frames_behind_it(given: Given, dial: Dial) -> None:
    cleo = await given.a_client()
    peer = await dial()
    for byte in handshake():
        peer.write(bytes([byte]))
        await peer.writer.drain()
    peer.write(masked(f'40{{"token":"{cleo.access_token}"}}'.encode()))
    await peer.head()
    await peer.until('42["session.ready"')


WRONG: dict[str, tuple[bytes, int, str]] = {
    "no upgrade": (handshake(Upgrade=None, Connection=None), 426, "upgrade_required"),
    "another upgrade": (handshake(Upgrade="h2c"), 426, "upgrade_required"),
    "Connection without Upgrade": (handshake(Connection="keep-alive"), 426, "upgrade_required"),
    "an old version": (handshake(Sec_WebSocket_Version="8"), 426, "bad_handshake"),
    "no version": (handshake(Sec_WebSocket_Version=None), 426, "bad_handshake"),
    "no key": (handshake(Sec_WebSocket_Key=None), 400, "bad_handshake"),
    "a short key": (handshake(Sec_WebSocket_Key="c2hvcnQ="), 400, "bad_handshake"),
    "a key that is no base64": (handshake(Sec_WebSocket_Key="?" * 24), 400, "bad_handshake"),
    "no host": (handshake(Host=None), 400, "bad_handshake"),
    "two keys": (handshake()[:-2] + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400, "bad_handshake"),
    "a folded header": (handshake()[:-2] + b" folded: x\r\n\r\n", 400, "bad_handshake"),
    "a header without a colon": (handshake()[:-2] + b"nonsense\r\n\r\n", 400, "bad_handshake"),
    "HTTP/1.0": (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 400, "bad_handshake"),
    "a foreign origin": (handshake(Origin="https://evil.example"), 403, "foreign_origin"),
    "the origin null": (handshake(Origin="null"), 403, "foreign_origin"),
    "another port of ours": (handshake(Origin="http://localhost:81"), 403, "foreign_origin"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_handshake_is_told_what_is_wrong(dial: Dial, what: str) -> None:
    raw, status, code = WRONG[what]
    peer = await dial()
    peer.write(raw)
    head = await peer.head()
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "application/problem+json" in head
    assert ("Upgrade: websocket" in head) == (code == "upgrade_required")
    problem = msgspec.json.decode(await peer.reader.read())
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/socket.io/?EIO=4&transport=polling", 0),
        ("/socket.io/?EIO=4", 0),
        ("/socket.io/?EIO=3&transport=websocket", 5),
        (ENGINE, 5),
        (f"{PATH}&sid=abc", 1),
    ],
)
async def test_official_clients_are_told_in_the_words_of_engine_io(
    server: Server, dial: Dial, path: str, code: int
) -> None:
    answer = await server.get(path)
    assert (answer.status, answer.body["code"]) == (400, code)
    peer = await dial()
    peer.write(handshake(path))
    assert (await peer.head()).startswith("HTTP/1.1 400 ")
    assert msgspec.json.decode(await peer.reader.read())["code"] == code


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "fit.example", True),
        ("https://fit.example", "fit.example", True),
        ("https://fit.example", "fit.example:443", True),
        ("http://FIT.example:80", "fit.example", True),
        ("http://fit.example:8080", "fit.example:8080", True),
        ("https://app.example", "fit.example", True),
        ("https://fit.example.evil.example", "fit.example", False),
        ("https://evil.example", "fit.example", False),
        ("", "", False),
    ],
)
def test_pages_of_our_own_host_and_of_listed_origins_may_connect(origin: str | None, host: str, allowed: bool) -> None:
    assert is_allowed(origin, host, ("https://app.example",)) is allowed


async def test_a_head_that_never_ends_is_refused(dial: Dial) -> None:
    peer = await dial()
    peer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000)
    assert (await peer.head()).startswith("HTTP/1.1 431 ")


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /socket.io/?EIO=4 HTTP/1.1\r\n"])
async def test_a_head_that_does_not_come_in_time_is_not_waited_for(dial: Dial, start: bytes) -> None:
    class NoGuests:
        def check_room(self, address: str) -> None:
            raise AssertionError(address)

        def accept(self, format_: object, transport: asyncio.Transport, address: str) -> asyncio.Protocol:
            raise AssertionError(format_, transport, address)

    door = Door(NoGuests(), {"/socket.io/": object()}, (), Proxies(()), head_seconds=0.2)
    listener = await asyncio.get_running_loop().create_server(lambda: Front(door, asyncio.Protocol), "127.0.0.1", 0)
    async with listener:
        peer = await dial(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        peer.write(start)
        assert (await peer.head()).startswith("HTTP/1.1 408 ")
        assert await peer.reader.read() == b""


async def test_requests_of_a_kept_connection_are_served_by_http(dial: Dial) -> None:
    peer = await dial()
    peer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    for _ in range(2):
        assert (await peer.head()).startswith("HTTP/1.1 200 ")
        await peer.reader.readuntil(b"}}")


async def test_a_websocket_may_be_opened_on_a_kept_connection(given: Given, dial: Dial) -> None:
    # Proxies that keep their connections send the upgrade on one that has served other requests.
    cleo = await given.a_client()
    peer = await dial()
    peer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()
    await peer.reader.readuntil(b"}}")
    peer.write(handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
    digest = hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324
    assert base64.b64encode(digest).decode() in await peer.head()
    await peer.connect(cleo.access_token)
    peer.say('421["sync",{"cursors":{}}]')
    assert (await peer.ack(1))["ok"]
    peer.write(masked(b"\x03\xe8", 8))
    assert await peer.closed() == 1000


async def test_a_wrong_handshake_on_a_kept_connection_is_refused_too(dial: Dial) -> None:
    peer = await dial()
    peer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.head()
    await peer.reader.readuntil(b"}}")
    peer.write(handshake(Origin="https://evil.example"))
    assert (await peer.head()).startswith("HTTP/1.1 403 ")


async def test_a_full_server_says_when_to_come_back(run: Run, dial: Dial, open_peer: Dial) -> None:
    async with run(max_connections=1) as server:
        await open_peer(server.url)
        second = await dial(server.url)
        second.write(handshake())
        head = await second.head()
        assert head.startswith("HTTP/1.1 503 ")
        assert "Retry-After: " in head
        assert msgspec.json.decode(await second.reader.read())["code"] == "too_many_connections"
