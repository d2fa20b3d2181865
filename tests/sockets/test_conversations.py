"""A new conversation is heard at once by everybody in it, wherever they are connected."""

from functools import partial

from server.core.ids import new_id
from tests.given import Given
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Json
from tests.sockets.view import View
from tests.waiting import eventually


async def test_open_sockets_hear_a_new_conversation_and_what_is_said_in_it(
    server: Server, elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo, carl, tara = await given.a_client(), await given.a_client("Carl"), await given.a_trainer()
    stranger = await open_device(await given.a_client("A stranger"), elsewhere)
    devices = [(person, await open_device(person, at)) for person in (cleo, carl, tara) for at in (server, elsewhere)]
    body = {"kind": "group", "name": "Sunday run", "member_ids": [str(cleo.id), str(carl.id)]}
    created = (await server.as_(tara.access_token).post("/conversations", body)).body
    for person, device in devices:
        heard = await device.hears("conversation.changed")
        fresh = (await server.as_(person.access_token).get("/conversations")).body["items"][0]
        assert heard.data["conversation"] == fresh
        assert (heard.topic, heard.seq) == (f"user:{person.id}", None)
        assert fresh["id"] == created["id"]
    message = await devices[0][1].send(created["id"], "Nine at the gate")
    for _, device in devices:
        assert (await device.hears("message.created", conversation_id=created["id"])).data == message
    await stranger.do("sync", cursors={})
    assert {heard.event for heard in stranger.heard} == {"session.ready"}


async def test_a_message_sent_the_moment_a_conversation_exists_is_not_missed(
    server: Server, elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    sending, listening = await open_device(tara), await open_device(cleo, elsewhere)
    view = View(str(cleo.id))

    async def shown(conversation_id: str) -> list[Json]:
        if view.listen(listening):
            await view.catch_up(listening)
        return view.messages.get(conversation_id, [])

    for _ in range(10):
        body = {"kind": "group", "name": "Plans", "member_ids": [str(cleo.id)]}
        created = (await server.as_(tara.access_token).post("/conversations", body)).body
        message = await sending.send(created["id"], "First")
        # It comes with the conversation, or by itself, or a tick says that there is something to ask for.
        assert await eventually(partial(shown, created["id"])) == [message]


async def test_opening_a_direct_conversation_again_tells_nobody(
    server: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    hers = await open_device(tara)
    body = {"kind": "direct", "member_ids": [str(tara.id)]}
    first = await server.as_(cleo.access_token).post("/conversations", body)
    await hers.hears("conversation.changed")
    again = await server.as_(cleo.access_token).post("/conversations", body)
    assert (first.status, again.status, again.body["id"]) == (201, 200, first.body["id"])
    path = f"/conversations/{first.body['id']}/messages"
    await server.as_(cleo.access_token).post(path, {"client_id": str(new_id()), "text": "Hello"})
    await hers.hears("message.created")
    assert len(hers.all_heard("conversation.changed")) == 1
