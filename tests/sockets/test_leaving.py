"""Leaving while a command is being done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import msgspec
import pytest

from server.core.ids import new_id
from tests.given import Given
from tests.proxy import proxied
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.wire import wired
from tests.waiting import eventually

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@asynccontextmanager
async def held(server: Server, conversation_id: UUID) -> AsyncIterator[Callable[[], Coroutine[None, None, bool]]]:
    """Hold the lock of a conversation: whoever says something in it has to wait. Yields whether somebody does."""
    holding, looking = [await asyncpg.connect(server.config.database_url) for _ in range(2)]

    async def is_waited_for() -> bool:
        return bool(await looking.fetchval(WAITING))

    try:
        async with holding.transaction():
            await holding.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation_id)
            yield is_waited_for
    finally:
        await holding.close()
        await looking.close()


@pytest.mark.parametrize("goodbye", ["1", "hello", None])
async def test_whoever_leaves_in_the_middle_of_a_command_disturbs_nobody(
    server: Server, given: Given, open_device: OpenDevice, goodbye: str | None
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    hers = await open_device(tara)
    async with proxied(server.url) as road, wired(server, road.url) as wire:
        await wire.connect(cleo.access_token, "/chat")
        async with held(server, talk.id) as is_waited_for:
            for ack_id in range(3):
                body = {"conversation_id": talk.id, "client_id": new_id(), "text": "Before I go"}
                await wire.say(f"42/chat,{ack_id}{msgspec.json.encode(['send_message', body]).decode()}")
            await eventually(is_waited_for)
            # On a slow road it takes a while until both sides have let go: the answer falls in between.
            road.delay = 0.2
            if goodbye is None:
                road.cut()
            else:
                await wire.say(goodbye)
            assert await wire.is_closed()
        last = await hers.send(talk.id, "Where are you?")
        await hers.hears("message.created", id=last["id"])
    if goodbye == "1":
        # What was said before a goodbye is still done.
        await hers.hears_messages(talk.id, 4)
    assert hers.seqs(talk.id) == list(range(1, len(hers.seqs(talk.id)) + 1))
