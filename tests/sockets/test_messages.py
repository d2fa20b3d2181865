"""A message: sent, acked, heard by everybody everywhere, in one order, once."""

import asyncio
from uuid import uuid4

from server.core.ids import new_id
from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Json


async def test_everybody_hears_a_message_on_every_device_of_every_instance(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    others = [await open_device(cleo, elsewhere), await open_device(tara), await open_device(tara, elsewhere)]
    message = await phone.send(talk.id, "Same time?")
    for device in (phone, *others):
        heard = await device.hears("message.created", id=message["id"])
        assert heard.data == message
        assert (heard.topic, heard.seq) == (f"conversation:{talk.id}", 1)
        assert set(heard.envelope) == {"v", "topic", "seq", "at", "data"}
        assert heard.envelope["at"] == message["created_at"]
        assert len(device.messages(talk.id)) == 1


async def test_the_ack_is_the_saved_message(
    server: Server, open_device: OpenDevice, cleo: Person, talk: Conversation
) -> None:
    device, client_id = await open_device(cleo), new_id()
    message = await device.send(talk.id, "  Half past six? 🏋️ ", client_id)
    saved = (await server.as_(cleo.access_token).get(f"/conversations/{talk.id}/messages")).body["items"]
    assert saved == [message]
    assert {name: message[name] for name in ("conversation_id", "seq", "sender_id", "client_id", "text")} == {
        "conversation_id": str(talk.id),
        "seq": 1,
        "sender_id": str(cleo.id),
        "client_id": str(client_id),
        "text": "Half past six? 🏋️",
    }


async def test_a_message_sent_over_rest_is_heard_too(
    elsewhere: Server, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    path = f"/conversations/{talk.id}/messages"
    answer = await elsewhere.as_(tara.access_token).post(path, {"client_id": str(new_id()), "text": "Yes"})
    assert (await phone.hears("message.created", id=answer.body["id"])).data == answer.body


async def test_two_writers_on_two_instances_are_heard_in_one_order_without_gaps(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person, talk: Conversation
) -> None:
    one, other = await open_device(cleo), await open_device(tara, elsewhere)
    each = 25
    async with asyncio.TaskGroup() as writers:
        sent = [
            writers.create_task(device.send(talk.id, f"{name} {number}"))
            for number in range(each)
            for name, device in (("one", one), ("other", other))
        ]
    orders = []
    for device in (one, other):
        heard = sorted(await device.hears_messages(talk.id, 2 * each), key=place)
        assert [message["seq"] for message in heard] == list(range(1, 2 * each + 1))
        orders.append([message["id"] for message in heard])
    assert orders[0] == orders[1]
    assert orders[0] == [ack["id"] for ack in sorted((task.result() for task in sent), key=place)]


def place(message: Json) -> int:
    """Return a message's place in the order."""
    return int(message["seq"])


async def test_messages_of_one_writer_arrive_in_the_order_of_their_seq(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    listeners = [await open_device(tara), await open_device(tara, elsewhere)]
    async with asyncio.TaskGroup() as group:
        acks = [group.create_task(phone.send(talk.id, str(number))) for number in range(20)]
    assert [task.result()["seq"] for task in acks] == list(range(1, 21)), (
        "commands are done in the order they were sent"
    )
    for device in (phone, *listeners):
        await device.hears_messages(talk.id, 20)
        assert device.seqs(talk.id) == list(range(1, 21))


async def test_a_retry_gives_back_the_first_message_wherever_it_arrives(
    server: Server, elsewhere: Server, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    here, there, hers = await open_device(cleo), await open_device(cleo, elsewhere), await open_device(tara)
    client_id = new_id()
    first = await here.send(talk.id, "Once", client_id)
    assert "duplicate" not in first
    path, body = f"/conversations/{talk.id}/messages", {"client_id": str(client_id), "text": "Once"}
    retries = [
        await here.send(talk.id, "Once", client_id),
        await there.send(talk.id, "Once", client_id),
        (await server.as_(cleo.access_token).post(path, body)).body,
        (await elsewhere.as_(cleo.access_token).post(path, body)).body,
    ]
    assert retries == [first | {"duplicate": True}] * 4
    last = await here.send(talk.id, "Twice")
    assert last["seq"] == 2
    await hers.hears("message.created", id=last["id"])
    assert hers.seqs(talk.id) == [1, 2], "a retry is not told again"


async def test_five_tries_at_once_make_one_message(
    elsewhere: Server, open_device: OpenDevice, cleo: Person, talk: Conversation
) -> None:
    devices = [await open_device(cleo), await open_device(cleo, elsewhere)]
    client_id = new_id()
    path, body = f"/conversations/{talk.id}/messages", {"client_id": str(client_id), "text": "Now"}
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(device.send(talk.id, "Now", client_id)) for device in devices * 2]
        over_rest = group.create_task(elsewhere.as_(cleo.access_token).post(path, body))
    acks = [*(task.result() for task in tries), over_rest.result().body]
    assert sorted(ack.pop("duplicate", False) for ack in acks) == [False, True, True, True, True]
    assert all(ack == acks[0] for ack in acks)


async def test_a_client_id_names_one_message_for_ever(
    given: Given, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    other_talk = await given.a_conversation(cleo, tara, name="Another one")
    device, client_id = await open_device(cleo), new_id()
    await device.send(talk.id, "This", client_id)
    for place, text in ((talk.id, "That"), (other_talk.id, "This")):
        error = await device.refused("send_message", conversation_id=place, client_id=client_id, text=text)
        assert (error["code"], error["retryable"]) == ("chat.client_id_reused", False)
        assert error["title"]
    assert (await device.send(talk.id, "Next"))["seq"] == 2


async def test_two_people_may_use_the_same_client_id(
    open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    client_id = uuid4()
    first = await (await open_device(cleo)).send(talk.id, "Mine", client_id)
    second = await (await open_device(tara)).send(talk.id, "Mine", client_id)
    assert (first["seq"], second["seq"]) == (1, 2)
    assert "duplicate" not in second
