"""A session on an open socket: warned before its token ends, renewed without a gap, closed when nobody cares."""

from datetime import timedelta

import msgspec

from server.core import clock
from server.core.tokens import ACCESS_LIFE
from tests.sockets.engine.conftest import Dial, Run


async def test_a_token_that_ends_soon_is_announced_and_can_be_renewed(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        cleo = await server.given.a_client(now=clock.now() - ACCESS_LIFE + timedelta(seconds=50))
        device = await open_peer(server.url)
        await device.connect(cleo.access_token)
        expiring = msgspec.json.decode((await device.until('42["session.expiring",'))[:-1])
        assert 40 <= expiring["data"]["seconds_left"] <= 50
        fresh = await server.server.api.post("/auth/refresh", {"refresh_token": cleo.refresh_token})
        device.say(f'421["refresh_session",{{"token":"{fresh.body["access_token"]}"}}]')
        ack = await device.ack(1)
        assert ack["data"]["seconds_left"] > 800
        connection = server.only
        connection.look(connection.wheel.now + 100)
        assert connection.is_open


async def test_a_connection_outlives_its_token_by_half_a_minute(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        device = await open_peer(server.url)
        await device.connect(cleo.access_token)
        connection = server.only
        ends = connection.wheel.now + ACCESS_LIFE.total_seconds()
        connection.look(ends - 59)
        await device.until('42["session.expiring",')
        connection._awaits_pong = False
        connection.look(ends + 25)
        assert connection.is_open
        connection._awaits_pong = False
        connection.look(ends + 31)
        closing = msgspec.json.decode((await device.until('42["session.closing",'))[:-1])
        assert closing["data"] == {"code": "token_expired", "reconnect": True, "retry_after_ms": 0}
        assert await device.closed() == 1012


async def test_a_session_is_not_renewed_with_the_token_of_somebody_else(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        cleo, carl = await server.given.a_client(), await server.given.a_client()
        device = await open_peer(server.url)
        await device.connect(cleo.access_token)
        for number, (token, code) in enumerate(
            [(carl.access_token, "forbidden"), ("garbage", "identity.token_invalid"), (cleo.refresh_token, None)]
        ):
            device.say(f'42{number}["refresh_session",{{"token":"{token}"}}]')
            error = (await device.ack(number))["error"]
            assert error["code"] == (code or "identity.token_invalid")
        assert server.only.me.id == cleo.id


async def test_who_leaves_every_namespace_is_closed_unless_they_join_again(run: Run, open_peer: Dial) -> None:
    async with run() as server:
        cleo = await server.given.a_client()
        device = await open_peer(server.url)
        await device.connect(cleo.access_token)
        device.say("41")
        device.say(f'40{{"token":"{cleo.access_token}"}}')
        await device.until('42["session.ready"')
        connection = server.only
        connection.look(connection.wheel.now + 20)
        assert connection.is_open
        device.say("41")
        device.write(b"\x89\x80mask")
        while await device.frame() != (10, b""):
            pass  # Engine.IO's own pings
        connection.look(connection.wheel.now + 20)
        assert await device.closed() == 1008
