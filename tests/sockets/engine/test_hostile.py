"""Clients that mean no good: they get nothing, and cost nothing that is not bounded."""

import asyncio

import pytest
import structlog

from server.realtime.connection import MAX_PENDING
from server.realtime.formats import MsgpackFormat
from tests.sockets.engine.conftest import Dial, Run
from tests.sockets.engine.peer import masked
from tests.waiting import eventually

MSGPACK = "/socket.io-msgpack/?EIO=4&transport=websocket"


@pytest.mark.parametrize("name", ["connect", "connect_error", "disconnect", "disconnecting", "message", "*", ""])
async def test_no_event_reaches_a_handler_of_the_servers_own(run: Run, open_peer: Dial, name: str) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        peer.say(f'421["{name}",{{"token":"x"}}]')
        assert (await peer.ack(1))["error"]["code"] == "unknown_command"
        peer.say('422["sync",{"cursors":{}}]')
        assert (await peer.ack(2))["ok"], "the connection stands"
        assert server.only.namespaces == {"/"}


@pytest.mark.parametrize("frame", ["", "garbage", "4", "42", "4{", "2", "0"])
async def test_a_bad_frame_leaves_no_ghost_and_one_line_in_the_log(run: Run, open_peer: Dial, frame: str) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        with structlog.testing.capture_logs() as lines:
            peer.say(frame)
            assert await peer.closed() == 1008
        assert [(line["event"], line["log_level"]) for line in lines] == [("bad_packet", "info")]
        assert not server.sockets.hub.connections
        await eventually(lambda: not server.sockets.open)


async def test_a_flood_makes_no_tasks_and_waits_its_turn(run: Run, open_peer: Dial) -> None:
    commands = 26_000
    async with run() as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        before = len(asyncio.all_tasks())
        peer.write(b"".join(masked(b'42%d["sync",{"cursors":{}}]' % number) for number in range(commands)))
        most_tasks = most_pending = 0
        for number in range(100):
            (await peer.ack(number))["ok"]
            most_tasks = max(most_tasks, len(asyncio.all_tasks()))
            most_pending = max(most_pending, len(server.only._pending or ()))
        assert most_tasks - before <= 4
        assert MAX_PENDING // 2 < most_pending <= MAX_PENDING
        assert server.sockets.counts.commands < commands / 2, "what nobody has time for is not read"
        await peer.leave()
        await eventually(lambda: not server.sockets.open)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_flood_over_the_limit_is_refused_in_place(run: Run, open_peer: Dial) -> None:
    async with run(commands_per_minute=60, commands_burst=5) as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        peer.write(b"".join(masked(b'42%d["set_presence",{"state":"idle"}]' % number) for number in range(1000)))
        acks = [await peer.ack(number) for number in range(1000)]
        assert [ack["ok"] for ack in acks[:6]] == [True] * 5 + [False]
        assert sum(ack["ok"] for ack in acks) < 20
        error = acks[-1]["error"]
        assert (error["code"], error["retryable"]) == ("rate_limited", True)
        assert 0 < error["retry_after_ms"] <= 1000


@pytest.mark.parametrize(
    "frames",
    [
        ['4511-["sync",{}]'],
        ["45999999999-[]"],
        ['452-["sync",{"_placeholder":true,"num":0}]', b"x" * 40_000, b"x" * 40_000],
        ['451-["sync",{"_placeholder":true,"num":0}]', b"one", b"two"],
        ['451-["sync",{"_placeholder":true,"num":3}]', b"one"],
        ["461-[]"],
    ],
    ids=["too many", "far too many", "too large together", "one more than announced", "no such attachment", "an ack"],
)
async def test_attachments_are_bounded(run: Run, open_peer: Dial, frames: list[str | bytes]) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        for frame in frames:
            peer.write(masked(frame, 2) if isinstance(frame, bytes) else masked(frame.encode()))
        assert await peer.closed() == 1008


async def test_an_event_with_attachments_is_a_command_like_any_other(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        peer.say('451-7["set_presence",{"state":{"_placeholder":true,"num":0}}]')
        peer.write(masked(b"idle", 2))
        assert (await peer.ack(7))["error"]["errors"][0]["pointer"] == "/state"


@pytest.mark.parametrize("type_", [4, 5, 6, 7, -1, 99])
async def test_a_msgpack_packet_of_a_type_that_clients_do_not_send_ends_the_connection(
    run: Run, open_peer: Dial, type_: int
) -> None:
    async with run() as server:
        peer = await open_peer(server.url, MSGPACK)
        packet = MsgpackFormat._frame(type_, "/", ["sync", {}], 1)
        peer.write(masked(packet[2:], 2))
        assert await peer.closed() == 1008


async def test_whoever_never_connects_is_closed(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        peer = await open_peer(server.url)
        connection = server.only
        connection.look(connection.wheel.now + 9)
        assert connection.is_open
        connection.look(connection.wheel.now + 10.5)
        assert await peer.closed() == 1008
        assert server.sockets.counts.ends["no_connect"] == 1


async def test_whoever_does_not_answer_pings_is_gone(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        peer = await open_peer(server.url)
        await peer.connect(cleo.access_token)
        connection = server.only
        now = connection.wheel.now
        connection.look(now + 26)
        await peer.until("2")
        peer.say("3")
        peer.say('421["set_presence",{"state":"idle"}]')
        await peer.ack(1)
        connection.look(now + 52)
        await peer.until("2")
        connection.look(now + 78)
        assert server.sockets.counts.ends["ping_timeout"] == 1
        assert not server.sockets.hub.connections


async def test_protocol_errors_are_closed_with_their_code(run: Run, open_peer: Dial) -> None:
    async with run(max_frame_bytes=2000) as server:
        for raw, code in (
            (masked(b"\xff"), 1007),
            (masked(b"x" * 2001), 1009),
            (b"\xf1\x80mask", 1002),
            (b"\x81\x01x", 1002),
            (masked(b"\x03\xe8bye", 8), 1000),
        ):
            peer = await open_peer(server.url)
            peer.write(raw)
            assert await peer.closed() == code
        await eventually(lambda: not server.sockets.open)


async def test_a_websocket_ping_is_answered(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        peer = await open_peer(server.url)
        peer.write(masked(b"are you there", 9))
        assert await peer.frame() == (10, b"are you there")
