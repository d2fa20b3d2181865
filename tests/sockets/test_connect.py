"""CONNECT: who is let in, who is not and why, and the first thing one is told."""

from datetime import timedelta

import pytest
from socketio.exceptions import ConnectionError as RefusedError

from server.core import clock
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Device
from tests.sockets.wire import wired


async def refusal(server: Server, auth: str, namespace: str = "") -> dict[str, object]:
    """Return the data of the CONNECT_ERROR that answers a CONNECT with this `auth`, a JSON text or nothing."""
    async with wired(server) as wire:
        await wire.say(f"40{namespace}{auth}")
        error = await wire.until(f"44{namespace}")
        assert set(error) == {"message", "data"}
        assert error["message"]
        data: dict[str, object] = error["data"]
        return data


def auth_of(token: str) -> str:
    return f'{{"token": "{token}"}}'


async def test_the_session_tells_who_one_is_and_what_the_limits_are(
    server: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo = await given.a_client("Cleo Client")
    device = await open_device(cleo)
    assert [heard.event for heard in device.heard] == ["session.ready"]
    ready = device.heard[0]
    assert set(ready.envelope) == {"v", "topic", "seq", "at", "data"}
    assert (ready.envelope["v"], ready.topic, ready.seq) == (1, f"user:{cleo.id}", None)
    assert {"protocol", "session_id", "user", "server_time", "heartbeat_ms", "limits", "typing"} <= set(ready.data)
    assert ready.data["protocol"] == 1
    assert ready.data["user"] == (await server.as_(cleo.access_token).get("/users/me")).body
    assert ready.data["typing"] == {"resend_ms": 4000, "idle_ms": 3000, "expire_ms": 8000}
    assert ready.data["limits"]["max_frame_bytes"] == server.config.max_frame_bytes


async def test_session_ready_follows_connect_at_once(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    async with wired(server) as wire:
        await wire.say(f"40{auth_of(cleo.access_token)}")
        assert (await wire.packet()).startswith('40{"sid":')
        assert (await wire.packet()).startswith('42["session.ready",')


async def test_a_later_namespace_needs_no_token(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        for namespace in ("/chat", "/typing"):
            await wire.say(f"40{namespace},")
            assert set(await wire.until(f"40{namespace},")) == {"sid"}


async def test_any_namespace_may_come_first(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    async with wired(server) as wire:
        await wire.connect(cleo.access_token, "/chat")
        ack = await wire.call(1, "mark_read", {"conversation_id": talk.id, "seq": 0}, namespace="/chat")
        assert ack["ok"]
        await wire.say("40")
        assert (await wire.event("session.ready"))["data"]["user"]["id"] == str(cleo.id)


@pytest.mark.parametrize("auth", ["", "{}", '{"token": null}', '{"device_id": "phone"}'])
async def test_nobody_enters_without_a_token(server: Server, auth: str) -> None:
    assert await refusal(server, auth) == {"code": "unauthenticated", "retryable": False}


async def test_a_tampered_token_is_refused(server: Server, given: Given) -> None:
    token = (await given.a_client()).access_token
    header, claims, signature = token.split(".")
    other = (await given.a_client()).access_token.split(".")
    for forged in (
        f"{header}.{claims}.{signature[:-4]}AAAA",
        f"{header}.{claims}.",
        f"{header}.{other[1]}.{signature}",
        f"eyJhbGciOiJub25lIn0.{claims}.",
        "garbage",
        "x" * 4000,
    ):
        assert await refusal(server, auth_of(forged)) == {"code": "identity.token_invalid", "retryable": False}


async def test_a_refresh_token_is_no_access_token(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    assert (await refusal(server, auth_of(cleo.refresh_token)))["code"] == "identity.token_invalid"


async def test_an_expired_token_is_refused_as_expired(server: Server, given: Given) -> None:
    cleo = await given.a_client(now=clock.now() - timedelta(minutes=20))
    assert await refusal(server, auth_of(cleo.access_token)) == {"code": "identity.token_expired", "retryable": False}


async def test_a_session_that_has_ended_is_refused(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    assert (await server.as_(cleo.access_token).post("/auth/logout")).status == 204
    assert await refusal(server, auth_of(cleo.access_token)) == {"code": "identity.session_ended", "retryable": False}


@pytest.mark.parametrize("auth", ['"token"', "[]", '{"token": 7}', '{"token": "t", "protocol": 2}'])
async def test_an_auth_of_another_form_is_refused(server: Server, auth: str) -> None:
    assert await refusal(server, auth) == {"code": "invalid", "retryable": False}


async def test_an_app_may_say_more_about_itself(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    device = Device()
    auth = {"token": cleo.access_token, "device_id": "phone", "app": "ios 1.2", "protocol": 1, "colour": "blue"}
    await device.connect(server.url, auth)
    await device.hears("session.ready")
    await device.leave()


async def test_a_namespace_that_does_not_exist_is_refused(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    assert await refusal(server, auth_of(cleo.access_token), "/nowhere,") == {"code": "not_found", "retryable": False}


async def test_a_connection_belongs_to_one_person(server: Server, given: Given) -> None:
    cleo, carl = await given.a_client(), await given.a_client("Carl Client")
    async with wired(server) as wire:
        await wire.connect(cleo.access_token)
        await wire.say(f"40/chat,{auth_of(carl.access_token)}")
        assert (await wire.until("44/chat,"))["data"] == {"code": "forbidden", "retryable": False}
        assert (await wire.call(1, "sync", {"cursors": {}}))["ok"]


async def test_a_refused_connection_hears_nothing(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    async with wired(server) as wire:
        await wire.say("40{}")
        await wire.until("44")
        await given.a_message(talk, tara, "Only for Cleo")
        await wire.connect(cleo.access_token)
        assert (await wire.packet()).startswith('42["session.ready",')


async def test_the_official_client_reads_the_code_of_a_refusal(server: Server) -> None:
    device = Device()
    with pytest.raises(RefusedError):
        await device.connect(server.url, {"token": "garbage"}, ("/",))
    refused = device.refusals["/"]
    assert refused["data"] == {"code": "identity.token_invalid", "retryable": False}
    assert refused["message"] == "The access token is not valid"


@pytest.fixture
async def cleo(given: Given) -> Person:
    return await given.a_client()


async def test_a_second_device_and_a_second_instance_are_sessions_of_their_own(
    open_device: OpenDevice, elsewhere: Server, cleo: Person
) -> None:
    devices = [await open_device(cleo), await open_device(cleo), await open_device(cleo, elsewhere)]
    assert len({device.heard[0].data["session_id"] for device in devices}) == 3
