"""How much one person may ask for: who is too fast is told when to go on, and nobody else notices."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from server.core.ids import new_id
from tests.databases import FreshDatabase
from tests.given import Given
from tests.servers import StartServer
from tests.sockets.device import Json, opened, plain
from tests.waiting import eventually


async def test_a_person_sends_so_many_messages_at_once_whatever_the_number_of_devices(
    start_server: StartServer, fresh_database: FreshDatabase
) -> None:
    server = await start_server(database_url=await fresh_database(), messages_per_second=1, messages_burst=4)
    given = Given(server.database, server.tokens)
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    async with (
        opened(server.url, cleo.access_token) as phone,
        opened(server.url, cleo.access_token) as tablet,
        opened(server.url, tara.access_token) as hers,
    ):
        bodies = [plain({"conversation_id": talk.id, "client_id": new_id(), "text": "Hello"}) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            tries = [
                group.create_task((phone, tablet)[number % 2].ack_of("send_message", body))
                for number, body in enumerate(bodies)
            ]
        acks = [task.result() for task in tries]
        assert 4 <= sum(ack["ok"] for ack in acks) < 20
        for error in (ack["error"] for ack in acks if not ack["ok"]):
            assert (error["code"], error["retryable"]) == ("rate_limited", True)
            assert 0 < error["retry_after_ms"] <= 1000
        await hers.send(talk.id, "I have said nothing yet")
        refused = next(body for body, ack in zip(bodies, acks, strict=True) if not ack["ok"])

        async def is_sent() -> bool:
            return bool((await tablet.ack_of("send_message", refused))["ok"])

        await eventually(is_sent)
        sent = sum(ack["ok"] for ack in acks) + 2
        assert [message["seq"] for message in await hers.hears_messages(talk.id, sent)] == list(range(1, sent + 1))


async def test_commands_are_counted_for_each_socket(start_server: StartServer, fresh_database: FreshDatabase) -> None:
    server = await start_server(database_url=await fresh_database(), commands_per_minute=60, commands_burst=3)
    given = Given(server.database, server.tokens)
    cleo = await given.a_client()
    async with (
        opened(server.url, cleo.access_token) as phone,
        opened(server.url, cleo.access_token) as tablet,
    ):
        acks: list[Json] = [await phone.ack_of("nonsense", {}) for _ in range(4)]
        assert [ack["error"]["code"] for ack in acks] == ["unknown_command"] * 3 + ["rate_limited"]
        assert (await tablet.refused("nonsense"))["code"] == "unknown_command"


async def test_of_too_many_devices_the_oldest_is_closed(
    start_server: StartServer, fresh_database: FreshDatabase
) -> None:
    server = await start_server(database_url=await fresh_database(), max_connections_per_user=2)
    cleo = await Given(server.database, server.tokens).a_client()
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(opened(server.url, cleo.access_token)) for _ in range(4)]
        closing = await devices[0].hears("session.closing")
        assert (closing.data["code"], closing.data["reconnect"]) == ("too_many_connections", False)
        for device in devices[:2]:
            await eventually(device.closed.is_set)
        for device in devices[2:]:
            assert (await device.do("sync", cursors={}))["badge"] == 0
