"""What one may not see does not exist, and stays as it is."""

from typing import Any

import pytest

from server.core.ids import new_id
from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Device

ABOUT_ONESELF = {"session.ready", "conversation.changed", "sync.tick"}
COMMANDS: dict[str, dict[str, object]] = {
    "send_message": {"client_id": "01890000-0000-7000-8000-000000000000", "text": "Let me in"},
    "mark_read": {"seq": 1},
    "set_typing": {"typing": True},
}


@pytest.fixture
async def talk(given: Given, tara: Person) -> Conversation:
    """Return a conversation of two people, with one message that is unread."""
    cleo = await given.a_client("Cleo Client")
    talk = await given.a_conversation(cleo, tara)
    await given.a_message(talk, cleo, "Between us")
    return talk


@pytest.fixture
async def stranger(given: Given, open_device: OpenDevice) -> Device:
    """Return a device of somebody who is in a conversation, though not in this one."""
    stranger = await given.a_client("A stranger")
    await given.a_conversation(stranger, await given.a_trainer("Tom Trainer"))
    return await open_device(stranger)


async def everything(server: Server, person: Person, talk: Conversation) -> Any:
    api = server.as_(person.access_token)
    return [(await api.get(path)).body for path in ("/conversations", f"/conversations/{talk.id}/messages")]


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_foreign_conversation_cannot_be_told_from_one_that_does_not_exist(
    server: Server, open_device: OpenDevice, stranger: Device, tara: Person, talk: Conversation, command: str
) -> None:
    hers = await open_device(tara)
    before = await everything(server, tara, talk)
    answers = [
        await stranger.refused(command, conversation_id=conversation_id, **COMMANDS[command])
        for conversation_id in (talk.id, new_id())
    ]
    assert answers[0] == answers[1]
    assert (answers[0]["code"], answers[0]["retryable"]) == ("chat.conversation_not_found", False)
    assert await everything(server, tara, talk) == before
    # The answer comes after everything that this device was told before.
    await hers.do("sync", cursors={})
    assert {heard.event for heard in hers.heard} <= ABOUT_ONESELF


async def test_a_stranger_hears_nothing_of_a_foreign_conversation(
    open_device: OpenDevice, stranger: Device, tara: Person, talk: Conversation
) -> None:
    hers = await open_device(tara)
    await stranger.do("sync", cursors={f"conversation:{talk.id}": 0})
    await hers.do("set_typing", conversation_id=talk.id, typing=True)
    await hers.do("mark_read", conversation_id=talk.id, seq=1)
    await hers.send(talk.id, "Still between us")
    await hers.hears("message.created")
    await stranger.do("sync", cursors={})
    assert {heard.event for heard in stranger.heard} <= ABOUT_ONESELF
    assert not [heard for heard in stranger.heard if str(talk.id) in str(heard)]
