"""Conversations and messages over REST."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from server.core import clock
from server.core.ids import new_id
from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Answer, Api, Server, StartServer


def api_of(server: Server, person: Person) -> Api:
    return server.as_(person.access_token)


def a_text(text: str = "Hello") -> dict[str, str]:
    return {"client_id": str(new_id()), "text": text}


def direct(*others: Person, **more: object) -> dict[str, object]:
    return {"kind": "direct", "member_ids": [str(person.id) for person in others]} | more


def group(*others: Person, **more: object) -> dict[str, object]:
    return {"kind": "group", "name": "Runners", "member_ids": [str(person.id) for person in others]} | more


def messages_of(conversation: Conversation) -> str:
    return f"/conversations/{conversation.id}/messages"


# Opening conversations.


async def test_two_people_have_one_direct_conversation_whoever_opens_it(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    first = await api_of(server, cleo).post("/conversations", direct(tara))
    again = await api_of(server, cleo).post("/conversations", direct(tara))
    other = await api_of(server, tara).post("/conversations", direct(cleo, id=str(new_id())))
    assert [first.status, again.status, other.status] == [201, 200, 200]
    assert {first.body["id"], again.body["id"], other.body["id"]} == {first.body["id"]}
    assert (first.body["kind"], first.body["name"], first.body["last_message"]) == ("direct", None, None)
    assert {member["user_id"] for member in first.body["members"]} == {str(cleo.id), str(tara.id)}
    assert {member["role"] for member in first.body["members"]} == {"member"}


async def test_a_group_has_a_name_and_an_owner_and_everybody_once(server: Server, given: Given) -> None:
    cleo, tara, carl = await given.a_client(), await given.a_trainer(), await given.a_client()
    answer = await api_of(server, tara).post("/conversations", group(cleo, carl, cleo, tara, name=" Sunday run "))
    assert (answer.status, answer.body["name"]) == (201, "Sunday run")
    roles = {member["user_id"]: member["role"] for member in answer.body["members"]}
    assert roles == {str(tara.id): "owner", str(cleo.id): "member", str(carl.id): "member"}
    for person in (cleo, tara, carl):
        shown = await api_of(server, person).get(f"/conversations/{answer.body['id']}")
        assert (shown.status, shown.body["members"]) == (200, answer.body["members"])


async def test_a_group_that_is_opened_twice_with_one_id_is_one_group(server: Server, given: Given) -> None:
    cleo, tara, carl = await given.a_client(), await given.a_trainer(), await given.a_client()
    body = group(cleo, id=str(new_id()))
    first, again = [await api_of(server, tara).post("/conversations", body) for _ in range(2)]
    assert (first.status, again.status, first.body) == (201, 200, again.body)
    for other in (body | {"name": "Walkers"}, group(carl, id=body["id"]), direct(carl, id=body["id"])):
        taken = await api_of(server, tara).post("/conversations", other)
        assert (taken.status, taken.code) == (409, "chat.id_taken")
    stranger = await api_of(server, carl).post("/conversations", group(cleo, id=body["id"]))
    assert (stranger.status, stranger.code) == (409, "chat.id_taken")


async def test_with_somebody_who_is_not_there_nothing_is_opened(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    body = group(tara, id=str(new_id())) | {"member_ids": [str(tara.id), str(new_id())]}
    refused = await api_of(server, cleo).post("/conversations", body)
    assert (refused.status, refused.code) == (404, "chat.person_not_found")
    assert (await api_of(server, cleo).get("/conversations")).body["items"] == []
    assert (await api_of(server, cleo).post("/conversations", group(tara, id=body["id"]))).status == 201


async def test_a_hundred_tries_at_once_on_two_servers_open_one_direct_conversation(
    server: Server, given: Given, start_server: StartServer
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    second = await start_server()
    places = [(server, cleo, tara), (second, tara, cleo), (server, tara, cleo), (second, cleo, tara)] * 25
    opened = await asyncio.gather(*(open_patiently(place, me, other) for place, me, other in places))
    assert sorted({answer.status for answer in opened}) == [200, 201]
    assert [answer.status for answer in opened].count(201) == 1
    assert len({answer.body["id"] for answer in opened}) == 1


async def open_patiently(server: Server, me: Person, other: Person) -> Answer:
    """Open a conversation; a server with too much to do is asked again, as apps do."""
    while (answer := await api_of(server, me).post("/conversations", direct(other))).status == 503:
        pass
    return answer


# Sending.


async def test_a_message_is_numbered_and_counted_for_the_others(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    first = await api_of(server, cleo).post(messages_of(talk), a_text("  Same time?\n"))
    second = await api_of(server, tara).post(messages_of(talk), a_text("Half past six"))
    assert (first.status, first.body["seq"], first.body["text"]) == (201, 1, "Same time?")
    assert (second.status, second.body["seq"], "duplicate" in second.body) == (201, 2, False)
    for person in (cleo, tara):
        shown = (await api_of(server, person).get(f"/conversations/{talk.id}")).body
        assert (shown["last_seq"], shown["unread"], shown["last_message"]) == (2, 1, second.body)
        assert shown["last_message_at"] == second.body["created_at"]


async def test_a_message_that_is_sent_again_is_the_one_that_was_saved(
    server: Server, given: Given, start_server: StartServer
) -> None:
    """Five tries at once, on two servers, then one more later."""
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk, body = await given.a_conversation(cleo, tara), a_text("Are you there?")
    both = [server, await start_server()]
    tries = await asyncio.gather(*(api_of(both[n % 2], cleo).post(messages_of(talk), body) for n in range(5)))
    assert sorted(answer.status for answer in tries) == [200, 200, 200, 200, 201]
    late = await api_of(server, cleo).post(messages_of(talk), body)
    assert (late.status, late.body["duplicate"]) == (200, True)
    for answer in tries:
        assert answer.body | {"duplicate": True} == late.body
    assert len((await api_of(server, tara).get(messages_of(talk))).body["items"]) == 1
    assert (await api_of(server, tara).get(f"/conversations/{talk.id}")).body["unread"] == 1


async def test_a_client_id_names_one_message_for_ever(server: Server, given: Given) -> None:
    cleo, tara, carl = await given.a_client(), await given.a_trainer(), await given.a_client()
    here, there = await given.a_conversation(cleo, tara), await given.a_conversation(cleo, carl)
    body = a_text("Yes")
    assert (await api_of(server, cleo).post(messages_of(here), body)).status == 201
    for place, text in ((here, "No"), (there, "Yes")):
        reused = await api_of(server, cleo).post(messages_of(place), body | {"text": text})
        assert (reused.status, reused.code) == (409, "chat.client_id_reused")
    assert (await api_of(server, tara).post(messages_of(here), body)).status == 201


async def test_when_two_conversations_race_for_a_client_id_one_of_them_gets_it(server: Server, given: Given) -> None:
    cleo = await given.a_client()
    for _ in range(5):
        talks = [await given.a_conversation(cleo, await given.a_trainer()) for _ in range(4)]
        body = a_text()
        answers = await asyncio.gather(*(api_of(server, cleo).post(messages_of(talk), body) for talk in talks))
        assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]


async def test_many_writers_on_two_servers_make_one_order_without_gaps(
    server: Server, given: Given, start_server: StartServer
) -> None:
    crowd = [await given.a_client() for _ in range(5)]
    talk, both = await given.a_conversation(*crowd), [server, await start_server()]
    answers = await asyncio.gather(
        *(api_of(both[n % 2], crowd[n % 5]).post(messages_of(talk), a_text(str(n))) for n in range(50))
    )
    assert sorted(answer.body["seq"] for answer in answers) == list(range(1, 51))
    listed = (await api_of(server, crowd[0]).get(messages_of(talk), limit=100)).body["items"]
    assert sorted((answer.body for answer in answers), key=lambda message: int(message["seq"])) == listed


# Reading.


async def test_messages_are_paged_backwards_while_new_ones_arrive(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    sent = [await given.a_message(talk, cleo, f"number {number}") for number in range(25)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api_of(server, tara).get(messages_of(talk), limit=10, **cursor)).body
        found = [message["id"] for message in page["items"]] + found
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        await given.a_message(talk, cleo, "meanwhile")
    assert found == [str(message.id) for message in sent]


async def test_messages_are_paged_forwards_to_the_very_last(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    for number in range(12):
        await given.a_message(talk, cleo, f"number {number}")
    api = api_of(server, tara)
    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get(messages_of(talk), limit=5, after=2, **cursor)).body
        found += [message["seq"] for message in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == list(range(3, 13))
    assert [m["seq"] for m in (await api.get(messages_of(talk), before=4)).body["items"]] == [1, 2, 3]
    assert (await api.get(messages_of(talk), after=12)).body == {"items": [], "next_cursor": None}


async def test_conversations_are_paged_by_their_latest_activity_even_when_it_is_the_same(
    server: Server, given: Given
) -> None:
    cleo, moment = await given.a_client(), clock.now() - timedelta(hours=1)
    talks = [await given.a_conversation(cleo, await given.a_trainer(), now=moment) for _ in range(5)]
    api = api_of(server, cleo)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get("/conversations", limit=2, **cursor)).body
        found += [conversation["id"] for conversation in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == sorted((str(talk.id) for talk in talks), reverse=True)
    await given.a_message(talks[2], cleo)
    assert (await api.get("/conversations", limit=1)).body["items"][0]["id"] == str(talks[2].id)


async def test_a_read_cursor_moves_forward_only(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    first, second, third = [await given.a_message(talk, tara, text) for text in ("one", "two", "three")]
    api = api_of(server, cleo)
    receipt = await api.put(f"/messages/{second.id}/read")
    assert (receipt.status, receipt.body["user_id"]) == (200, str(cleo.id))
    assert (receipt.body["read_seq"], receipt.body["unread"], receipt.body["badge"]) == (2, 1, 1)
    back = await api.put(f"/messages/{first.id}/read")
    assert back.body == receipt.body
    assert (await api.put(f"/messages/{third.id}/read")).body["badge"] == 0
    shown = (await api_of(server, tara).get(f"/conversations/{talk.id}")).body
    assert {member["user_id"]: member["read_seq"] for member in shown["members"]} == {str(cleo.id): 3, str(tara.id): 0}


async def test_the_badge_is_the_sum_of_all_conversations(server: Server, given: Given) -> None:
    cleo, tara, tom = await given.a_client(), await given.a_trainer(), await given.a_trainer()
    one, other = await given.a_conversation(cleo, tara), await given.a_conversation(cleo, tom)
    read = await given.a_message(one, tara)
    for _ in range(3):
        await given.a_message(other, tom)
    receipt = (await api_of(server, cleo).put(f"/messages/{read.id}/read")).body
    assert (receipt["unread"], receipt["badge"]) == (0, 3)


async def test_catching_up_brings_what_came_after_each_cursor(server: Server, given: Given) -> None:
    cleo, tara, tom = await given.a_client(), await given.a_trainer(), await given.a_trainer()
    known, new = await given.a_conversation(cleo, tara), await given.a_conversation(cleo, tom)
    foreign = await given.a_conversation(tara, tom)
    sent = [await given.a_message(known, tara, f"number {number}") for number in range(4)]
    cursors = f"conversation:{known.id}=2,conversation:{foreign.id}=0"
    answer = await api_of(server, cleo).get("/sync", cursors=cursors)
    assert answer.status == 200
    caught_up = answer.body["topics"][f"conversation:{known.id}"]
    assert [event["data"]["id"] for event in caught_up["events"]] == [str(message.id) for message in sent[2:]]
    assert answer.body["topics"][f"conversation:{foreign.id}"] == {"seq": 0, "reset": True, "snapshot": None}
    assert {found["id"] for found in answer.body["conversations"]} == {str(known.id), str(new.id)}
    assert answer.body["badge"] == 4


# What is not one's own does not exist.


@pytest.fixture
async def foreign(given: Given) -> Conversation:
    """Return a conversation of two other people."""
    return await given.a_conversation(await given.a_client(), await given.a_trainer())


async def test_a_foreign_conversation_is_not_there(server: Server, given: Given, foreign: Conversation) -> None:
    mallory = api_of(server, await given.a_client("Mallory"))
    nowhere = new_id()
    for id_ in (foreign.id, nowhere):
        answers = [
            await mallory.get(f"/conversations/{id_}"),
            await mallory.get(f"/conversations/{id_}/messages"),
            await mallory.post(f"/conversations/{id_}/messages", a_text()),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [(404, "chat.conversation_not_found")] * 3
        assert not any("detail" in answer.body for answer in answers)
    assert (await mallory.get("/conversations")).body["items"] == []


async def test_a_foreign_message_is_not_there(server: Server, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    message = await given.a_message(await given.a_conversation(cleo, tara), cleo)
    mallory = api_of(server, await given.a_client("Mallory"))
    unknown: UUID = new_id()
    for id_ in (message.id, unknown):
        refused = await mallory.put(f"/messages/{id_}/read")
        assert (refused.status, refused.code) == (404, "chat.message_not_found")
