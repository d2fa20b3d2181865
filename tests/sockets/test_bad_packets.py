"""What is not Socket.IO: the connection is closed, and nobody else notices."""

import aiohttp
import pytest

from tests.given import Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.wire import Wire, wired

SYNC = '["sync",{"cursors":{}}]'

NONSENSE: dict[str, str | bytes] = {
    "an empty frame": "",
    "no Engine.IO packet": "hello",
    "a packet type that does not exist": "9",
    "a letter for a packet type": "x{}",
    "an empty message": "4",
    "a Socket.IO type that does not exist": "49",
    "a CONNECT_ERROR, which only servers send": '44{"message":"no"}',
    "an event without a name": "42[]",
    "an event without anything": "42",
    "an event that is no list": '42{"name":"sync"}',
    "an event whose JSON breaks off": '421["sync",{"cursors"',
    "an event with something after its JSON": "421" + SYNC + "]",
    "an ack id that is no number": "42x" + SYNC,
    "an ack id without end": "42" + "9" * 200 + SYNC,
    "lists in lists without end": "421" + "[" * 20_000,
    "an event in a namespace that was not joined": "42/chat,1" + SYNC,
    "an event in a namespace that does not exist": "42/nowhere,1" + SYNC,
    "bytes that nobody announced": b"\x01\x02\x03",
    "attachments without number": "45x-" + SYNC,
    "more attachments than anybody may hold": "45999999999-" + SYNC,
}


async def still_serves(wire: Wire) -> bool:
    """Whether another connection is answered as if nothing had happened."""
    return bool((await wire.call(1, "sync", {"cursors": {}}))["ok"])


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_ends_the_connection_that_sent_it(server: Server, cleo: Person, what: str) -> None:
    async with wired(server) as bystander, wired(server) as wire:
        await bystander.connect(cleo.access_token)
        await wire.connect(cleo.access_token)
        await wire.say(NONSENSE[what])
        assert await wire.is_closed()
        assert await still_serves(bystander)


@pytest.mark.parametrize(
    "frame",
    ["421" + SYNC, "42/chat,1" + SYNC, "41", "431[]", "451-" + SYNC, "hello", "", b"\x01", '44{"message":"no"}'],
)
async def test_whoever_says_anything_before_connect_is_closed(server: Server, frame: str | bytes) -> None:
    async with wired(server) as wire:
        await wire.say(frame)
        assert await wire.is_closed()


async def test_an_event_after_a_goodbye_is_too_late(server: Server, cleo: Person) -> None:
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.connect(cleo.access_token, "/chat")
        await wire.say("41/chat,")
        await wire.connect(cleo.access_token, "/chat")
        assert (await wire.call(1, "mark_read", {}, namespace="/chat"))["error"]["code"] == "invalid"
        await wire.say("41/chat,")
        await wire.say("42/chat,1" + SYNC)
        assert await wire.is_closed()


async def test_text_in_place_of_an_announced_attachment_ends_the_connection(server: Server, cleo: Person) -> None:
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.say('451-1["sync",{"_placeholder":true,"num":0}]')
        await wire.say("422" + SYNC)
        assert await wire.is_closed()


async def test_a_placeholder_for_an_attachment_that_does_not_exist_is_nonsense(server: Server, cleo: Person) -> None:
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.say('451-1["sync",{"_placeholder":true,"num":7}]')
        await wire.say(b"bytes")
        assert await wire.is_closed()


async def test_an_oversized_frame_ends_the_connection(server: Server, cleo: Person) -> None:
    limit = server.config.max_frame_bytes
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        error = (await wire.call(1, "sync", {"cursors": "x" * (limit - 200)}))["error"]
        assert error["code"] == "invalid", "a frame within the limit is read"
        await wire.say('422["sync","' + "x" * limit + '"]')
        assert await wire.is_closed()


async def test_text_that_is_not_utf_8_ends_the_connection(server: Server, cleo: Person) -> None:
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.socket.send_frame(b'421["sync","\xff\xfe"]', aiohttp.WSMsgType.TEXT)
        assert await wire.is_closed()


async def test_half_an_emoji_is_refused_without_ending_the_connection(server: Server, cleo: Person) -> None:
    # JavaScript sends it when a text was cut in the middle of a pair. A client that were closed would come back and
    # send it again, for ever.
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.say(r'421["sync",{"cursors":{"\ud83d":1}}]')
        (ack,) = await wire.until("431")
        assert not ack["ok"]
        assert await still_serves(wire)


async def test_an_ack_that_nobody_waits_for_does_no_harm(server: Server, cleo: Person) -> None:
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.say("437[]")
        assert await still_serves(wire)


async def test_joining_a_namespace_twice_does_no_harm_to_others(
    server: Server, open_device: OpenDevice, cleo: Person
) -> None:
    device = await open_device(cleo)
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.say(f'40{{"token":"{cleo.access_token}"}}')
        await wire.say("41")
    assert (await device.do("sync", cursors={}))["badge"] == 0


async def test_a_request_that_is_no_websocket_is_refused(server: Server) -> None:
    for path in ("/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=websocket", "/socket.io/"):
        assert (await server.get(path)).status in {400, 426}
    async with server.http.post(f"{server.url}/socket.io/?EIO=4&transport=polling", data="x") as answer:
        assert answer.status in {400, 405, 426}


async def test_an_old_protocol_is_refused(server: Server) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await server.http.ws_connect(f"{server.url}/socket.io/?EIO=3&transport=websocket")
