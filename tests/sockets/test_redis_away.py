"""Without Redis the chat goes on; when it comes back, the instances hear each other again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from server import embedded
from tests.databases import FreshDatabase, temporary_folder
from tests.given import Given
from tests.proxy import proxied
from tests.servers import Server, StartServer
from tests.sockets.device import Device, opened
from tests.sockets.view import View
from tests.waiting import eventually


class OwnValkey:
    """A Valkey that a test can stop and start again, at the same address."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._folder = folder
        self._running = AsyncExitStack()

    async def start(self) -> None:
        urls = await self._running.enter_async_context(embedded.servers(self._folder, postgres=False))
        assert self.url in {"", urls.redis_url}
        self.url = urls.redis_url

    async def stop(self) -> None:
        await self._running.aclose()


@pytest.fixture
async def valkey() -> AsyncIterator[OwnValkey]:
    with temporary_folder() as folder:
        valkey = OwnValkey(folder)
        await valkey.start()
        yield valkey
        await valkey.stop()


@pytest.fixture
async def own_database(fresh_database: FreshDatabase) -> str:
    """Return a database that no instance with another Redis looks at: each takes a part of the outbox."""
    return await fresh_database()


async def talk_for_a_while(one: Device, other: Device, conversation_id: object, *, count: int) -> None:
    """Let two devices talk; every message is acked in time and heard by both."""
    before = len(one.messages(conversation_id))
    for number in range(count):
        async with asyncio.timeout(1):
            await (one, other)[number % 2].send(conversation_id, str(number))
    for device in (one, other):
        await device.hears_messages(conversation_id, before + count)
        assert device.seqs(conversation_id) == list(range(1, before + count + 1))


async def test_people_on_one_instance_go_on_talking_without_redis(
    start_server: StartServer, own_database: str, valkey: OwnValkey
) -> None:
    server = await start_server(database_url=own_database, redis_url=valkey.url)
    given = Given(server.database, server.tokens)
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    async with opened(server.url, cleo.access_token) as phone, opened(server.url, tara.access_token) as hers:
        await talk_for_a_while(phone, hers, talk.id, count=5)
        await valkey.stop()
        await talk_for_a_while(phone, hers, talk.id, count=50)
        await phone.do("mark_read", conversation_id=talk.id, seq=55)
        await hers.hears("receipt.changed", read_seq=55)
        await phone.do("set_typing", conversation_id=talk.id, typing=True)
        await hers.hears("typing.changed", conversation_id=talk.id)
        assert (await server.get("/ready")).status == 200
        # Whoever comes while Redis is away is let in, and a new conversation reaches those who are there.
        async with opened(server.url, cleo.access_token) as tablet:
            plans = await given.a_conversation(tara, cleo, name="Plans")
            await tablet.hears("conversation.changed")
            await talk_for_a_while(tablet, hers, plans.id, count=4)


async def two_instances(start_server: StartServer, database_url: str, redis_url: str) -> tuple[Server, Server]:
    settings = {"database_url": database_url, "redis_url": redis_url}
    return await start_server(**settings), await start_server(**settings)


async def test_instances_hear_each_other_again_when_redis_is_back(
    start_server: StartServer, own_database: str, valkey: OwnValkey
) -> None:
    here, there = await two_instances(start_server, own_database, valkey.url)
    given = Given(here.database, here.tokens)
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    async with opened(here.url, cleo.access_token) as phone, opened(there.url, tara.access_token) as hers:
        view = View(str(tara.id))
        await view.catch_up(hers)
        await valkey.stop()
        for number in range(5):
            await phone.send(talk.id, f"Missed {number}")
        await valkey.start()

        async def is_heard() -> bool:
            message = await phone.send(talk.id, "Do you hear me?")
            await hers.hears("message.created", within=0.2, id=message["id"])
            return True

        await eventually(is_heard, within=3)
        if view.listen(hers):
            await view.catch_up(hers)
        messages = (await there.as_(tara.access_token).get(f"/conversations/{talk.id}/messages")).body["items"]
        assert view.messages[str(talk.id)] == messages
        assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))


async def test_a_redis_that_hangs_holds_up_nobody(
    start_server: StartServer, own_database: str, valkey: OwnValkey
) -> None:
    async with proxied(valkey.url) as road:
        here, there = await two_instances(start_server, own_database, road.url)
        given = Given(here.database, here.tokens)
        cleo, tara = await given.a_client(), await given.a_trainer()
        talk = await given.a_conversation(cleo, tara)
        async with opened(here.url, cleo.access_token) as phone, opened(here.url, tara.access_token) as hers:
            road.block()
            await talk_for_a_while(phone, hers, talk.id, count=20)
            road.unblock()
            async with opened(there.url, tara.access_token) as tablet:

                async def is_heard() -> bool:
                    message = await phone.send(talk.id, "Do you hear me?")
                    await tablet.hears("message.created", within=0.2, id=message["id"])
                    return True

                await eventually(is_heard, within=3)
