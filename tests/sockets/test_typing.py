"""Who types right now."""

import asyncio
from itertools import groupby
from uuid import UUID

from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Device
from tests.waiting import eventually


def typists(device: Device, conversation_id: UUID, but: Person) -> list[list[str]]:
    """List who of the others typed in a conversation, one entry for each change, as a device was told."""
    told = [heard.data["user_ids"] for heard in device.all_heard("typing.changed", conversation_id=conversation_id)]
    return [user_ids for user_ids, _ in groupby(sorted(set(user_ids) - {str(but.id)}) for user_ids in told)]


async def sees_end(device: Device, conversation_id: UUID, but: Person, within: float = 5) -> None:
    """Wait until nobody else types."""
    await eventually(lambda: typists(device, conversation_id, but)[-1:] == [[]], within)


async def test_typing_is_seen_on_every_instance_until_it_stops(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    watching = [await open_device(tara), await open_device(tara, elsewhere)]
    assert await phone.do("set_typing", conversation_id=talk.id, typing=True) == {}
    for device in watching:
        heard = await device.hears("typing.changed", conversation_id=talk.id)
        assert heard.data["user_ids"] == [str(cleo.id)]
        assert (heard.topic, heard.seq) == (f"conversation:{talk.id}", None)
    await phone.do("set_typing", conversation_id=talk.id, typing=False)
    for device in watching:
        await sees_end(device, talk.id, tara)
        assert typists(device, talk.id, tara) == [[str(cleo.id)], []]


async def test_typing_ends_with_the_message(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    watching = [await open_device(tara), await open_device(tara, elsewhere)]
    await phone.do("set_typing", conversation_id=talk.id, typing=True)
    for device in watching:
        await device.hears("typing.changed", conversation_id=talk.id)
    await phone.send(talk.id, "Done")
    for device in watching:
        await sees_end(device, talk.id, tara)
        assert typists(device, talk.id, tara) == [[str(cleo.id)], []]
        names = [heard.event for heard in device.heard if heard.topic == f"conversation:{talk.id}"]
        assert names == ["typing.changed", "message.created", "typing.changed"]


async def test_typing_expires_by_itself_and_saying_it_again_prolongs_it(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    watching = [await open_device(tara), await open_device(tara, elsewhere)]
    loop = asyncio.get_running_loop()
    await phone.do("set_typing", conversation_id=talk.id, typing=True)
    for device in watching:
        await device.hears("typing.changed", conversation_id=talk.id)
    await phone.do("set_typing", conversation_id=talk.id, typing=True)
    said_again = loop.time()
    # The phone is gone without a word that it has stopped.
    await phone.leave()
    for device in watching:
        await sees_end(device, talk.id, tara, within=9)
        assert typists(device, talk.id, tara) == [[str(cleo.id)], []]
    assert loop.time() - said_again > 7


async def test_several_people_type_at_once(given: Given, open_device: OpenDevice, elsewhere: Server) -> None:
    cleo, carl, tara = await given.a_client(), await given.a_client("Carl"), await given.a_trainer()
    group = await given.a_conversation(tara, cleo, carl)
    watching = await open_device(tara, elsewhere)
    for person in (cleo, carl):
        await (await open_device(person)).do("set_typing", conversation_id=group.id, typing=True)
    both = sorted([str(cleo.id), str(carl.id)])
    await eventually(lambda: typists(watching, group.id, tara)[-1:] == [both])


async def test_strangers_neither_see_typing_nor_type(
    open_device: OpenDevice, given: Given, cleo: Person, tara: Person, talk: Conversation
) -> None:
    stranger = await open_device(await given.a_client("A stranger"))
    phone, hers = await open_device(cleo), await open_device(tara)
    error = await stranger.refused("set_typing", conversation_id=talk.id, typing=True)
    assert error["code"] == "chat.conversation_not_found"
    await phone.do("set_typing", conversation_id=talk.id, typing=True)
    await hers.hears("typing.changed", conversation_id=talk.id)
    assert typists(hers, talk.id, tara) == [[str(cleo.id)]]
    # An answer comes after everything that was sent to this device before.
    await stranger.do("sync", cursors={})
    assert not stranger.all_heard("typing.changed")


async def test_saying_that_one_has_stopped_without_having_typed_is_no_news(
    open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone, hers = await open_device(cleo), await open_device(tara)
    await phone.do("set_typing", conversation_id=talk.id, typing=False)
    await phone.send(talk.id)
    await hers.hears("message.created")
    await hers.do("sync", cursors={})
    assert not hers.all_heard("typing.changed")
