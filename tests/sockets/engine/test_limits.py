"""How much one connection, one person and one address may have."""

import msgspec
import pytest

from tests.sockets.engine.conftest import Dial, Run
from tests.sockets.engine.peer import handshake


async def test_messages_are_limited_over_all_devices_of_a_person(run: Run, open_peer: Dial) -> None:
    async with run(messages_per_second=1, messages_burst=3) as server:
        cleo, tara = await server.given.a_client(), await server.given.a_trainer()
        talk = await server.given.a_conversation(cleo, tara)
        acks = []
        for number in range(2):
            device = await open_peer(server.url)
            await device.connect(cleo.access_token)
            device.say(f'40/chat,{{"token":"{cleo.access_token}"}}')
            await device.until("40/chat,")
            for each in range(3):
                body = f'{{"conversation_id":"{talk.id}","client_id":"{number}{each}{str(talk.id)[2:]}","text":"x"}}'
                device.say(f'42/chat,{each}["send_message",{body}]')
                acks += msgspec.json.decode(await device.until(f"43/chat,{each}"))
        assert [ack["ok"] for ack in acks] == [True] * 3 + [False] * 3
        assert acks[-1]["error"]["code"] == "rate_limited"
        assert acks[-1]["error"]["retry_after_ms"] <= 1000
        assert server.sockets.counts.refusals["send_message"] == 3


@pytest.mark.parametrize(
    ("setting", "namespace", "command"),
    [
        ("syncs_per_minute", "/", '["sync",{"cursors":{}}]'),
        ("typing_per_minute", "/typing", '["set_typing",{"conversation_id":"%s","typing":true}]'),
    ],
)
async def test_sync_and_typing_are_limited_too(
    run: Run, open_peer: Dial, setting: str, namespace: str, command: str
) -> None:
    async with run(**{setting: 2}) as server:
        cleo, tara = await server.given.a_client(), await server.given.a_trainer()
        talk = await server.given.a_conversation(cleo, tara)
        device = await open_peer(server.url)
        await device.connect(cleo.access_token)
        place = "" if namespace == "/" else f"{namespace},"
        if place:
            device.say(f"40{place}")
            await device.until(f"40{place}")
        codes = []
        for number in range(3):
            device.say(f"42{place}{number}{command.replace('%s', str(talk.id))}")
            (ack,) = msgspec.json.decode(await device.until(f"43{place}{number}"))
            codes.append("ok" if ack["ok"] else ack["error"]["code"])
        assert codes == ["ok", "ok", "rate_limited"]


async def test_the_oldest_connection_of_a_person_makes_room_for_the_newest(run: Run, open_peer: Dial) -> None:
    async with run(max_connections_per_user=2) as server:
        cleo, tara = await server.given.a_client(), await server.given.a_trainer()
        hers = await open_peer(server.url)
        await hers.connect(tara.access_token)
        oldest, middle, newest = [await open_peer(server.url) for _ in range(3)]
        for device in (oldest, middle, newest):
            await device.connect(cleo.access_token)
        closing = msgspec.json.decode((await oldest.until('42["session.closing",'))[:-1])
        assert closing["data"]["code"] == "too_many_connections"
        assert not closing["data"]["reconnect"]
        await oldest.until("41")  # official clients do not come back by themselves
        assert await oldest.closed() == 1000
        for device in (hers, middle, newest):
            device.say('421["set_presence",{"state":"idle"}]')
            assert (await device.ack(1))["ok"]


async def test_one_address_does_not_take_the_whole_server(run: Run, dial: Dial, open_peer: Dial) -> None:
    async with run(max_connections_per_address=2, trusted_proxies=("127.0.0.1",)) as server:
        for _ in range(2):
            peer = await dial(server.url)
            peer.write(handshake(X_Forwarded_For="203.0.113.7"))
            assert (await peer.head()).startswith("HTTP/1.1 101 ")
        third = await dial(server.url)
        third.write(handshake(X_Forwarded_For="203.0.113.7"))
        assert (await third.head()).startswith("HTTP/1.1 503 ")
        neighbour = await dial(server.url)
        neighbour.write(handshake(X_Forwarded_For="203.0.113.8"))
        assert (await neighbour.head()).startswith("HTTP/1.1 101 ")
        assert {connection.address for connection in server.sockets.open} == {"203.0.113.7", "203.0.113.8"}


async def test_a_header_of_somebody_we_do_not_trust_is_not_believed(run: Run, dial: Dial) -> None:
    async with run() as server:
        peer = await dial(server.url)
        peer.write(handshake(X_Forwarded_For="203.0.113.7"))
        await peer.head()
        assert server.only.address == "127.0.0.1"
