"""How far somebody has read: the receipt everybody sees, the badge that is one's own."""

from typing import Any

from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice


async def badge_of(server: Server, person: Person) -> int:
    """Add up what is unread, from a fresh list."""
    listed = (await server.as_(person.access_token).get("/conversations")).body["items"]
    return sum(conversation["unread"] for conversation in listed)


async def test_everybody_sees_how_far_one_has_read(
    server: Server, elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    for text in ("One", "Two", "Three"):
        await given.a_message(talk, tara, text)
    reading = await open_device(cleo)
    watching = [reading, await open_device(tara), await open_device(tara, elsewhere)]
    receipt = await reading.do("mark_read", conversation_id=talk.id, seq=2)
    assert receipt == {
        "conversation_id": str(talk.id),
        "user_id": str(cleo.id),
        "read_seq": 2,
        "read_at": receipt["read_at"],
        "unread": 1,
        "badge": 1,
    }
    for device in watching:
        heard = await device.hears("receipt.changed", conversation_id=talk.id)
        assert heard.data == {name: receipt[name] for name in ("conversation_id", "user_id", "read_seq", "read_at")}
        assert (heard.topic, heard.seq) == (f"conversation:{talk.id}", None)
    assert await badge_of(server, cleo) == 1


async def test_the_badge_is_told_on_every_own_device_and_to_nobody_else(
    given: Given, elsewhere: Server, open_device: OpenDevice
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk, other_talk = await given.a_conversation(cleo, tara), await given.a_conversation(cleo, tara, name="Plans")
    await given.a_message(talk, tara)
    await given.a_message(other_talk, tara)
    phone, tablet, hers = await open_device(cleo), await open_device(cleo, elsewhere), await open_device(tara)
    await phone.do("mark_read", conversation_id=talk.id, seq=1)
    for device in (phone, tablet):
        heard = await device.hears("badge.changed")
        assert (heard.data, heard.topic, heard.seq) == ({"total": 1}, f"user:{cleo.id}", None)
    await hers.hears("receipt.changed", conversation_id=talk.id)
    assert not hers.all_heard("badge.changed")


async def test_the_cursor_only_moves_forward(given: Given, open_device: OpenDevice) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    for text in ("One", "Two", "Three"):
        await given.a_message(talk, tara, text)
    phone, hers = await open_device(cleo), await open_device(tara)
    read = [(await phone.do("mark_read", conversation_id=talk.id, seq=seq))["read_seq"] for seq in (2, 1, 0, 3)]
    assert read == [2, 2, 2, 3]
    await hers.hears("receipt.changed", read_seq=3)
    assert [heard.data["read_seq"] for heard in hers.all_heard("receipt.changed")] == [2, 3]


async def test_nobody_reads_beyond_the_end(given: Given, open_device: OpenDevice) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    await given.a_message(talk, tara)
    receipt = await (await open_device(cleo)).do("mark_read", conversation_id=talk.id, seq=2**53 - 1)
    assert (receipt["read_seq"], receipt["unread"]) == (1, 0)


async def test_reading_over_rest_is_told_like_reading_over_a_socket(
    elsewhere: Server, given: Given, open_device: OpenDevice
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    message = await given.a_message(talk, tara)
    phone, hers = await open_device(cleo), await open_device(tara)
    receipt: dict[str, Any] = (await elsewhere.as_(cleo.access_token).put(f"/messages/{message.id}/read")).body
    assert (receipt["read_seq"], receipt["badge"]) == (1, 0)
    await hers.hears("receipt.changed", user_id=cleo.id, read_seq=1)
    await phone.hears("badge.changed", total=0)
