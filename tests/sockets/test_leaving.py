"""Leaving while a command is being done."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


@asynccontextmanager
async def held(server: Server, conversation_id: UUID) -> AsyncIterator[None]:
    """Hold the lock of a conversation: whoever says something in it has to wait."""
    connection = await asyncpg.connect(server.config.database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation_id)
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize("goodbye", ["1", "hello", "41/chat,", None])
async def test_whoever_leaves_in_the_middle_of_a_command_disturbs_nobody(
    server: Server, given: Given, open_device: OpenDevice, goodbye: str | None
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    hers = await open_device(tara)
    async with proxied(server.url) as road, wired(server, road.url) as wire:
        await wire.connect(cleo.access_token, "/chat")
        async with held(server, talk.id):
            for ack_id in range(3):
                body = {"conversation_id": talk.id, "client_id": new_id(), "text": "Before I go"}
                await wire.say(f"42/chat,{ack_id}{msgspec.json.encode(['send_message', body]).decode()}")
            # On a slow road it takes a while until both sides have let go: the answer falls in between.
            road.delay = 0.2
            if goodbye is None:
                road.cut()
                assert await wire.is_closed()
            elif goodbye == "41/chat,":
                await wire.say(goodbye)
            else:
                await wire.say(goodbye)
                assert await wire.is_closed()
        last = await hers.send(talk.id, "Where are you?")
        await hers.hears("message.created", id=last["id"])
    assert hers.seqs(talk.id) == list(range(1, last["seq"] + 1))
