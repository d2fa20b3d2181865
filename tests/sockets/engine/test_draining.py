"""The end of a server: everybody is told, nothing that was begun is lost, and it does not take long."""

import asyncio
import time

import msgspec

from tests.sockets.engine.conftest import Dial, Run
from tests.sockets.engine.peer import Peer, handshake
from tests.sockets.engine.test_slow_readers import stalled


async def closing_of(peer: Peer) -> dict[str, object]:
    closing = msgspec.json.decode((await peer.until('42["session.closing",'))[:-1])
    assert await peer.closed() == 1012
    return dict(closing["data"])


async def test_everybody_is_told_to_come_back_at_a_moment_of_their_own(run: Run, open_peer: Dial) -> None:
    devices = []
    async with run() as server:
        for _ in range(12):
            person = await server.given.a_client()
            devices.append(await open_peer(server.url))
            await devices[-1].connect(person.access_token)
        listening = asyncio.gather(*(closing_of(device) for device in devices))
        await asyncio.sleep(0)
        started = time.monotonic()
    told = await listening
    assert time.monotonic() - started < 3
    assert {(one["code"], one["reconnect"]) for one in told} == {("restarting", True)}
    assert len({one["retry_after_ms"] for one in told}) > 6


async def test_a_reader_that_has_stopped_does_not_hold_up_the_end(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        await stalled(server, open_peer)
        started = time.monotonic()
    assert time.monotonic() - started < 10


async def test_what_was_sent_before_the_end_is_done_and_acked(run: Run, open_peer: Dial) -> None:
    count = 40
    async with run() as server:
        cleo, tara = await server.given.a_client(), await server.given.a_trainer()
        talk = await server.given.a_conversation(cleo, tara)
        device = await open_peer(server.url)
        await device.connect(cleo.access_token)
        device.say("40/chat,")
        await device.until("40/chat,")
        for number in range(count):
            body = f'{{"conversation_id":"{talk.id}","client_id":"{number:02}{str(talk.id)[2:]}","text":"x"}}'
            device.say(f'42/chat,{number}["send_message",{body}]')
        (first,) = msgspec.json.decode(await device.until("43/chat,0"))
        assert first["ok"]
        commands = server.sockets.counts
        while commands.commands < count:
            await asyncio.sleep(0)

        async def acks() -> list[bool]:
            found = []
            for number in range(1, count):
                (ack,) = msgspec.json.decode(await device.until(f"43/chat,{number}"))
                found.append(ack["ok"])
            return found

        reading = asyncio.create_task(acks())
    assert await reading == [True] * (count - 1)


async def test_a_draining_server_is_not_ready_and_lets_nobody_in(run: Run, dial: Dial, open_peer: Dial) -> None:
    async with run() as server:
        waiting = await dial(server.url)
        waiting.write(handshake()[:20])
        await asyncio.gather(server.sockets.drain())
        assert (await server.server.get("/ready")).status == 503
        waiting.write(handshake()[20:])
        assert (await waiting.head()).startswith("HTTP/1.1 503 ")
