"""A session that ends takes its sockets with it, everywhere and at once."""

import asyncio

import pytest
from socketio.exceptions import ConnectionError as RefusedError

from tests.given import Given
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import opened


async def test_signing_out_closes_every_socket_of_the_session_and_nothing_is_heard_after(
    server: Server, elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    hers = await open_device(tara)
    loop = asyncio.get_running_loop()
    async with opened(server.url, cleo.access_token) as here, opened(elsewhere.url, cleo.access_token) as there:
        assert (await server.as_(cleo.access_token).post("/auth/logout")).status == 204
        signed_out = loop.time()
        async with asyncio.timeout(5):
            await here.closed.wait()
            await there.closed.wait()
        assert loop.time() - signed_out < 1
        message = await hers.send(talk.id, "Are you still there?")
        await hers.hears("message.created", id=message["id"])
        for device in (here, there):
            assert device.heard[-1].event == "session.closing", "nothing is heard after it"
            assert device.heard[-1].data == {"code": "logout", "reconnect": False, "retry_after_ms": 0}
    with pytest.raises(RefusedError):
        async with opened(elsewhere.url, cleo.access_token):
            pass


async def test_the_other_sessions_of_a_person_stay_open(
    server: Server, elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo = await given.a_client()
    credentials = {"email": cleo.email, "password": cleo.password}
    other_session = (await server.api.post("/auth/login", credentials)).body["access_token"]
    first = await open_device(cleo, elsewhere)
    async with opened(elsewhere.url, other_session) as second:
        assert (await server.as_(cleo.access_token).post("/auth/logout")).status == 204
        await asyncio.wait_for(first.closed.wait(), 5)
        assert (await second.do("sync", cursors={}))["badge"] == 0
        assert not second.closed.is_set()


async def test_a_refresh_token_that_is_used_twice_closes_the_sockets_of_its_session(
    server: Server, elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo = await given.a_client()
    device = await open_device(cleo, elsewhere)
    spent = {"refresh_token": cleo.refresh_token}
    renewed = (await server.api.post("/auth/refresh", spent)).body
    # The new pair is in use, so the old token can only be in the wrong hands.
    assert (await server.api.post("/auth/refresh", {"refresh_token": renewed["refresh_token"]})).status == 200
    assert (await server.api.post("/auth/refresh", spent)).code == "identity.refresh_reused"
    await asyncio.wait_for(device.closed.wait(), 5)
    assert device.heard[-1].data["code"] == "refresh_reused"


async def test_refreshing_leaves_the_sockets_of_a_session_alone(
    server: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo = await given.a_client()
    device = await open_device(cleo)
    renewed = (await server.api.post("/auth/refresh", {"refresh_token": cleo.refresh_token})).body
    async with opened(server.url, renewed["access_token"]) as second:
        await second.do("sync", cursors={})
    assert (await device.do("sync", cursors={}))["badge"] == 0
