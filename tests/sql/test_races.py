"""Many at once: the database judges, and nothing is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import asyncpg
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from server.core.db import Database
from server.core.ids import new_id
from server.core.tokens import Tokens
from server.domain.chat import actions as chat
from server.domain.chat.models import Conversation, Message, NewDirect, NewMessage
from tests.given import Given, Person
from tests.waiting import patiently

WRITERS = 50


async def send(database: Database, person: Person, conversation: Conversation, new: NewMessage) -> Message:
    async with database.begin(person.actor) as tx:
        return await chat.send_message(tx, conversation.id, new)


async def test_fifty_writers_in_one_conversation_make_one_order_without_gaps(database: Database, given: Given) -> None:
    crowd = [await given.a_client() for _ in range(5)]
    talk = await given.a_conversation(*crowd)
    answered: list[Message] = []

    async def write(number: int) -> None:
        for _ in range(2):
            new = NewMessage(client_id=new_id(), text=f"from {number}")
            answered.append(await patiently(partial(send, database, crowd[number % 5], talk, new)))

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    assert sorted(message.seq for message in answered) == list(range(1, 2 * WRITERS + 1))
    async with database.read(crowd[0].actor) as tx:
        listed = await chat.list_messages(tx, talk.id, limit=100, direction="after", seq=0)
        shown = await chat.show_conversation(tx, talk.id)
    assert sorted(answered, key=lambda message: message.seq) == listed
    assert (shown.last_seq, shown.last_message) == (2 * WRITERS, listed[-1])


async def test_five_tries_at_once_of_one_message_give_one_row_and_one_answer(database: Database, given: Given) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    new = NewMessage(client_id=new_id(), text="Are you there?")
    tries = await asyncio.gather(*(patiently(lambda: send(database, cleo, talk, new)) for _ in range(5)))
    assert len({(message.id, message.seq, message.text, message.created_at) for message in tries}) == 1
    assert [message.duplicate for message in tries].count(False) <= 1
    async with database.read(tara.actor) as tx:
        assert len(await chat.list_messages(tx, talk.id, limit=100, direction="after", seq=0)) == 1
        assert await chat.count_unread(tx) == 1


async def test_a_hundred_who_open_the_same_direct_conversation_find_one(
    database: Database, given: Given, connection: asyncpg.Connection[Any]
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()

    async def open_it(me: Person, other: Person) -> tuple[Conversation, bool]:
        async with database.begin(me.actor) as tx:
            return await chat.create_conversation(tx, NewDirect(member_ids=[other.id]))

    pairs = [(cleo, tara), (tara, cleo)] * 50
    opened = await asyncio.gather(*(patiently(partial(open_it, *pair)) for pair in pairs))
    assert len({conversation.id for conversation, _ in opened}) == 1
    assert sum(is_new for _, is_new in opened) <= 1
    count = "SELECT count(*) FROM conversation_participants WHERE user_id = $1"
    assert await connection.fetchval(count, cleo.id) == await connection.fetchval(count, tara.id) == 1


@settings(max_examples=8)
@given_any(seqs=st.lists(st.integers(0, 12), min_size=2, max_size=8))
async def test_a_read_cursor_that_many_devices_move_at_once_ends_at_the_furthest(
    database: Database, seqs: list[int]
) -> None:
    given = Given(database, Tokens(("a secret of some length",)))
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)

    async def read(seq: int) -> None:
        async with database.begin(cleo.actor) as tx:
            await chat.mark_read(tx, talk.id, seq)

    async def answer() -> None:
        await given.a_message(talk, cleo)

    for _ in range(10):
        await given.a_message(talk, tara)
    devices: list[Coroutine[Any, Any, None]] = [patiently(partial(read, seq)) for seq in seqs]
    await asyncio.gather(*devices, patiently(answer), patiently(answer))
    async with database.snapshot(cleo.actor) as tx:
        shown = await chat.show_conversation(tx, talk.id)
        messages = await chat.list_messages(tx, talk.id, limit=100, direction="after", seq=shown.read_seq)
        assert await chat.count_unread(tx) == shown.unread
    assert min(max(seqs), 10) <= shown.read_seq <= max(*seqs, 0)
    assert shown.unread == sum(message.sender_id != cleo.id for message in messages)
