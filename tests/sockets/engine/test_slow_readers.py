"""Who does not read is let go, costs little until then, and holds nobody up."""

import asyncio

import msgspec
import pytest

from server.core import clock
from server.core.ports import LiveEvent, Shedding
from server.realtime.websocket import MAX_UNSENT_BYTES, MAX_UNSENT_PACKETS
from tests.sockets.engine.conftest import Dial, Run
from tests.sockets.engine.peer import Peer, Running
from tests.waiting import eventually

SMALL = 4096


class Noise(msgspec.Struct, frozen=True):
    text: str


KEPT = LiveEvent("/", "noise", Noise, False, "Something to hear.")
VOLATILE = LiveEvent("/", "whisper", Noise, False, "Something to miss.", Shedding.VOLATILE)
REPLACEABLE = LiveEvent("/", "detail", Noise, False, "Something a tick makes up for.", Shedding.REPLACEABLE)


async def stalled(server: Running, open_peer: Dial) -> Peer:
    """Connect somebody who stops reading, and fill what the kernel holds for them."""
    person = await server.given.a_client()
    peer = await open_peer(server.url, receive_buffer=SMALL, limit=SMALL)
    await peer.connect(person.access_token)
    peer.stop_reading()
    connection = server.only
    while not connection.lags:
        tell(server, 1, 200_000)
        await asyncio.sleep(0)
    return peer


def tell(server: Running, times: int, size: int, event: LiveEvent = KEPT) -> None:
    """Say something to everybody who is there, in one tick."""
    for connection in list(server.sockets.hub.connections.values()):
        for _ in range(times):
            server.sockets.hub.tell(connection.user_topic, event, Noise("x" * size), at=clock.now())


@pytest.mark.parametrize(("times", "size"), [(2, MAX_UNSENT_BYTES // 2), (MAX_UNSENT_PACKETS + 1, 10)])
async def test_who_does_not_read_is_aborted_at_the_bound(run: Run, open_peer: Dial, times: int, size: int) -> None:
    async with run() as server:
        await stalled(server, open_peer)
        tell(server, times, size)
        await eventually(lambda: not server.sockets.open)
        assert server.sockets.counts.ends["slow_consumer"] == 1
        assert not server.sockets.hub.connections


async def test_up_to_the_bound_everything_is_kept_and_arrives_in_order(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        peer = await stalled(server, open_peer)
        connection = server.only
        numbers = range(MAX_UNSENT_PACKETS - 1)
        for number in numbers:
            server.sockets.hub.tell(connection.user_topic, KEPT, Noise(str(number)), at=clock.now())
            await asyncio.sleep(0)
        assert connection.is_open
        peer.read_on()
        heard: list[str] = []
        while not heard or heard[-1] != str(numbers[-1]):
            envelope = msgspec.json.decode((await peer.until('42["noise",'))[:-1])
            heard.append(envelope["data"]["text"])
        assert [text for text in heard if not text.startswith("x")] == [str(number) for number in numbers]
        assert not connection.lags


async def test_from_a_quarter_on_whispers_are_left_out_and_from_half_on_details(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        await stalled(server, open_peer)
        connection, sheds = server.only, server.sockets.counts.sheds

        async def grow_to(share: float) -> None:
            tell(server, int(MAX_UNSENT_PACKETS * share) - len(connection._backlog or ()), 1)
            await eventually(lambda: connection._out is None)
            for event in (VOLATILE, REPLACEABLE):
                tell(server, 1, 1, event)
            await eventually(lambda: connection._out is None)

        await grow_to(0.1)
        assert not sheds
        await grow_to(0.25)
        assert sheds == {"volatile": 1}
        await grow_to(0.5)
        assert sheds == {"volatile": 2, "replaceable": 1}
        assert connection.is_open


async def test_a_write_that_makes_no_progress_ends_the_connection(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        await stalled(server, open_peer)
        connection = server.only
        connection.look(connection.wheel.now + 5)
        assert connection.is_open
        connection.look(connection.wheel.now + 10.5)
        await eventually(lambda: not server.sockets.open)
        assert server.sockets.counts.ends["stalled"] == 1


async def test_nothing_is_read_from_somebody_who_does_not_take_the_answers(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        peer = await stalled(server, open_peer)
        commands = server.sockets.counts.commands
        for number in range(50):
            peer.say(f'42{number}["set_presence",{{"state":"idle"}}]')
        await peer.writer.drain()
        bystander = await server.given.a_client()
        other = await open_peer(server.url)
        await other.connect(bystander.access_token)
        other.say('421["set_presence",{"state":"idle"}]')
        assert (await other.ack(1))["ok"], "others are served meanwhile"
        assert server.sockets.counts.commands == commands + 1
        peer.read_on()
        assert (await peer.ack(49))["ok"]


async def test_an_ended_session_is_cut_off_even_behind_a_backlog(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        await stalled(server, open_peer)
        connection = server.only
        server.sockets.dismiss(connection, "logout", reconnect=False)
        assert not server.sockets.hub.connections
        connection.look(connection.wheel.now + 2.5)
        await eventually(lambda: not server.sockets.open)


async def test_others_hear_everything_while_one_does_not_read(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        await stalled(server, open_peer)
        listeners = []
        for _ in range(20):
            person = await server.given.a_client()
            listeners.append(await open_peer(server.url))
            await listeners[-1].connect(person.access_token)
        for _ in range(30):
            tell(server, 10, 2000)
            await asyncio.sleep(0)
        for listener in listeners:
            for _ in range(300):
                await listener.until('42["noise",')
        assert server.sockets.counts.ends["slow_consumer"] == 1
