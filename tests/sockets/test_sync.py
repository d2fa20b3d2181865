"""Catching up: all that was missed, in order, or a fresh start. Never a part."""

from typing import Any

import pytest

from server.core.ids import new_id
from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Device, Json


@pytest.fixture
async def talk(given: Given, cleo: Person, tara: Person) -> Conversation:
    """Return a conversation of five messages."""
    talk = await given.a_conversation(cleo, tara)
    for number in range(1, 6):
        await given.a_message(talk, tara, f"Number {number}")
    return talk


async def synced(device: Device, conversation_id: object, cursor: int, **more: object) -> Json:
    """Return what one topic needs to be whole again."""
    answer: Json = await device.do("sync", cursors={topic_of(conversation_id): cursor}, **more)
    assert list(answer["topics"]) == [topic_of(conversation_id)]
    topic: Json = answer["topics"][topic_of(conversation_id)]
    return topic


def topic_of(conversation_id: object) -> str:
    return f"conversation:{conversation_id}"


async def fresh_list(server: Server, person: Person) -> list[Any]:
    return list((await server.as_(person.access_token).get("/conversations", limit=100)).body["items"])


async def test_what_was_missed_comes_in_the_envelopes_of_the_events_one_missed(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, talk: Conversation
) -> None:
    phone = await open_device(cleo)
    message = await phone.send(talk.id, "The sixth")
    live = (await phone.hears("message.created")).envelope
    tablet = await open_device(cleo, elsewhere)
    topic = await synced(tablet, talk.id, 2)
    assert [envelope["seq"] for envelope in topic["events"]] == [3, 4, 5, 6]
    assert topic["events"][-1] == live | {"event": "message.created"}
    assert topic["events"][-1]["data"] == message
    assert topic["seq"] == 6
    assert "reset" not in topic


async def test_whoever_is_up_to_date_gets_nothing(open_device: OpenDevice, cleo: Person, talk: Conversation) -> None:
    phone = await open_device(cleo)
    topic = await synced(phone, talk.id, 5)
    assert (topic["seq"], topic["events"]) == (5, [])
    assert (await phone.do("sync", cursors={topic_of(talk.id): 5}))["conversations"] == []


async def test_who_has_read_how_far_is_told_each_time(
    server: Server, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    await (await open_device(cleo)).do("mark_read", conversation_id=talk.id, seq=3)
    topic = await synced(await open_device(cleo), talk.id, 5)
    assert {receipt["user_id"]: receipt["read_seq"] for receipt in topic["receipts"]} == {
        str(cleo.id): 3,
        str(tara.id): 0,
    }
    assert topic["unread"] == 2 == (await fresh_list(server, cleo))[0]["unread"]


async def test_a_first_sync_loads_everything(
    server: Server, given: Given, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    await given.a_conversation(cleo, tara, name="Plans")
    answer = await (await open_device(cleo)).do("sync", cursors={})
    assert set(answer) == {"topics", "conversations", "badge", "server_time"}
    assert answer["topics"] == {}
    assert answer["conversations"] == await fresh_list(server, cleo)
    assert len(answer["conversations"]) == 2
    assert answer["badge"] == 5


async def test_conversations_that_one_did_not_name_or_that_moved_on_are_listed(
    server: Server, given: Given, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    plans = await given.a_conversation(cleo, tara, name="Plans")
    await given.a_conversation(cleo, tara, name="Nothing new")
    quiet = await given.a_conversation(cleo, tara, name="Known")
    await given.a_message(plans, tara)
    cursors = {topic_of(talk.id): 5, topic_of(plans.id): 0, topic_of(quiet.id): 0}
    answer = await (await open_device(cleo)).do("sync", cursors=cursors)
    listed = {conversation["name"]: conversation for conversation in answer["conversations"]}
    assert set(listed) == {"Plans", "Nothing new"}
    fresh = {conversation["name"]: conversation for conversation in await fresh_list(server, cleo)}
    assert listed == {name: fresh[name] for name in listed}
    assert answer["badge"] == 6


@pytest.mark.parametrize(("cursor", "limit"), [(0, 4), (1, 3), (6, 300), (2**53 - 1, 300)])
async def test_whoever_is_too_far_behind_or_ahead_starts_afresh(
    server: Server, open_device: OpenDevice, cleo: Person, talk: Conversation, cursor: int, limit: int
) -> None:
    topic = await synced(await open_device(cleo), talk.id, cursor, limit=limit)
    assert set(topic) == {"seq", "reset", "snapshot"}
    assert (topic["reset"], topic["seq"]) == (True, 5)
    api = server.as_(cleo.access_token)
    assert topic["snapshot"]["conversation"] == (await fresh_list(server, cleo))[0]
    assert topic["snapshot"]["messages"] == (await api.get(f"/conversations/{talk.id}/messages")).body["items"]


async def test_a_gap_of_exactly_the_limit_is_still_filled(
    open_device: OpenDevice, cleo: Person, talk: Conversation
) -> None:
    topic = await synced(await open_device(cleo), talk.id, 1, limit=4)
    assert [envelope["seq"] for envelope in topic["events"]] == [2, 3, 4, 5]


async def test_a_foreign_conversation_looks_like_one_that_does_not_exist(
    given: Given, open_device: OpenDevice, tara: Person, talk: Conversation
) -> None:
    stranger = await given.a_client("A stranger")
    device = await open_device(stranger)
    for cursor in (0, 3, 5):
        foreign, unknown = await synced(device, talk.id, cursor), await synced(device, new_id(), cursor)
        assert foreign == unknown == {"seq": 0, "reset": True, "snapshot": None}
    answer = await device.do("sync", cursors={topic_of(talk.id): 0})
    assert (answer["conversations"], answer["badge"]) == ([], 0)


async def test_several_topics_are_brought_up_in_one_answer(
    given: Given, open_device: OpenDevice, cleo: Person, tara: Person, talk: Conversation
) -> None:
    plans = await given.a_conversation(cleo, tara, name="Plans")
    for _ in range(3):
        await given.a_message(plans, tara)
    cursors = {topic_of(talk.id): 4, topic_of(plans.id): 1, topic_of(new_id()): 7}
    topics = (await (await open_device(cleo)).do("sync", cursors=cursors))["topics"]
    assert set(topics) == set(cursors)
    assert [envelope["seq"] for envelope in topics[topic_of(talk.id)]["events"]] == [5]
    assert [envelope["seq"] for envelope in topics[topic_of(plans.id)]["events"]] == [2, 3]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/cursors"]),
        ({"cursors": []}, ["/cursors"]),
        ({"cursors": {"conversation:nonsense": 1}}, ["/cursors/conversation:nonsense"]),
        ({"cursors": {"user:7": 1, "conversation:8": 2}}, ["/cursors/conversation:8", "/cursors/user:7"]),
        ({"cursors": {}, "limit": 0}, ["/limit"]),
        ({"cursors": {}, "limit": 301, "since": 1}, ["/limit", "/since"]),
    ],
)
async def test_what_makes_no_sense_is_refused(
    open_device: OpenDevice, cleo: Person, body: dict[str, object], pointers: list[str]
) -> None:
    error = await (await open_device(cleo)).refused("sync", **body)
    assert error["code"] == "invalid"
    assert sorted({found["pointer"] for found in error["errors"]}) == pointers
