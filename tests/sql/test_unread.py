"""Unread counts are three numbers in a row, never counted messages; here they are compared with counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from server.core.db import Database
from server.core.ids import new_id
from server.core.tokens import Tokens
from server.domain.chat import actions as chat
from server.domain.chat.models import Conversation, NewMessage
from tests.given import Given, Person
from tests.servers import SECRET

PEOPLE, TALKS = 3, 2


@dataclass(frozen=True)
class Say:
    """Somebody says something; `again` repeats it as a client does whose answer got lost."""

    who: int
    where: int
    again: bool


@dataclass(frozen=True)
class Read:
    """Somebody reads up to a place, which may not be there yet."""

    who: int
    where: int
    seq: int


people, talks = st.integers(0, PEOPLE - 1), st.integers(0, TALKS - 1)
histories = st.lists(
    st.builds(Say, people, talks, st.booleans()) | st.builds(Read, people, talks, st.integers(0, 12)), max_size=20
)


@dataclass
class Model:
    """What was said, and how far everybody has read."""

    said: list[list[int]] = field(default_factory=lambda: [[] for _ in range(TALKS)])
    read: dict[tuple[int, int], int] = field(default_factory=dict)

    def apply(self, step: Say | Read) -> None:
        if isinstance(step, Say):
            self.said[step.where].append(step.who)
        else:
            place = (step.who, step.where)
            self.read[place] = max(self.read_seq(*place), min(step.seq, len(self.said[step.where])))

    def read_seq(self, who: int, where: int) -> int:
        return self.read.get((who, where), 0)

    def unread(self, who: int, where: int) -> int:
        """Count what others said after the cursor."""
        return sum(speaker != who for speaker in self.said[where][self.read_seq(who, where) :])


@settings(max_examples=30)
@given_any(history=histories)
async def test_what_is_unread_is_what_others_said_after_one_has_read(
    database: Database, history: Sequence[Say | Read]
) -> None:
    given = Given(database, Tokens((SECRET,)))
    crowd = [await given.a_client() for _ in range(PEOPLE)]
    rooms = [await given.a_conversation(*crowd, name=f"Room {number}") for number in range(TALKS)]
    model = Model()
    for step in history:
        model.apply(step)
        person, room = crowd[step.who], rooms[step.where]
        if isinstance(step, Say):
            await say(given, person, room, step.again)
        else:
            async with database.begin(person.actor) as tx:
                receipt = await chat.mark_read(tx, room.id, step.seq)
            assert receipt.read_seq == model.read_seq(step.who, step.where)
            assert receipt.unread == model.unread(step.who, step.where)
            assert receipt.badge == sum(model.unread(step.who, where) for where in range(TALKS))
    for who, person in enumerate(crowd):
        async with database.snapshot(person.actor) as tx:
            seen = {talk.id: talk for talk in await chat.list_conversations(tx, limit=100)}
            badge = await chat.count_unread(tx)
        assert [seen[room.id].unread for room in rooms] == [model.unread(who, where) for where in range(TALKS)]
        assert [seen[room.id].read_seq for room in rooms] == [model.read_seq(who, where) for where in range(TALKS)]
        assert [seen[room.id].last_seq for room in rooms] == [len(said) for said in model.said]
        assert badge == sum(talk.unread for talk in seen.values())


async def say(given: Given, person: Person, room: Conversation, again: bool) -> None:
    new = NewMessage(client_id=new_id(), text="Hello")
    for _ in range(2 if again else 1):
        async with given.database.begin(person.actor) as tx:
            await chat.send_message(tx, room.id, new)
