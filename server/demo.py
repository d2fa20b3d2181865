"""Demo people and what they have said to each other: the same on every machine, made by real actions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from server.core.actor import SYSTEM, Actor, Role
from server.core.db import Database
from server.core.ids import uuid7
from server.core.ports import Passwords
from server.domain.chat import actions as chat
from server.domain.chat.models import NewConversation, NewDirect, NewGroup, NewMessage
from server.domain.identity import actions as identity
from server.domain.identity.models import NewUser
from server.handlers.page import DEMO_PASSWORD, DemoPerson

_EPOCH_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def demo_id(number: int) -> UUID:
    """Return the id of a demo row: the same on every machine."""
    return uuid7(_EPOCH_MS, number)


class _Person(NamedTuple):
    number: int
    key: str
    name: str
    role: Role

    @property
    def id(self) -> UUID:
        return demo_id(self.number)

    @property
    def email(self) -> str:
        return f"{self.key}@demo.fitsync.test"

    @property
    def actor(self) -> Actor:
        return Actor(self.id, self.role)


_PEOPLE = {
    person.key: person
    for person in (
        _Person(1, "admin", "Ada Admin", Role.ADMIN),
        _Person(2, "owner", "Olga Owner", Role.GYM_OWNER),
        _Person(3, "tara", "Tara Trainer", Role.TRAINER),
        _Person(4, "tom", "Tom Trainer", Role.TRAINER),
        _Person(5, "cleo", "Cleo Client", Role.CLIENT),
        _Person(6, "carl", "Carl Client", Role.CLIENT),
        _Person(7, "cora", "Cora Client", Role.CLIENT),
    )
}

DEMO_PEOPLE = tuple(
    DemoPerson(str(person.id), person.name, person.email, str(person.role)) for person in _PEOPLE.values()
)


class _Talk(NamedTuple):
    number: int
    between: tuple[str, ...]
    name: str | None
    said: tuple[tuple[str, str], ...]


_TALKS = (
    _Talk(
        101,
        ("tara", "cleo"),
        None,
        (
            ("tara", "Morning Cleo! How do the legs feel after Tuesday?"),
            ("cleo", "Heavy, but in a good way. The front squats were new for me."),
            ("tara", "That is what they are for. Thursday we stay light: mobility and a short row."),
            ("cleo", "Perfect. Same time, half past six?"),
            ("tara", "Half past six. Bring the blue band."),
        ),
    ),
    _Talk(
        102,
        ("tara", "carl"),
        None,
        (
            ("carl", "5 km in 27:40 today, without a break!"),
            ("tara", "Carl, that is a minute and a half off last month. Log it, then take tomorrow off."),
        ),
    ),
    _Talk(
        103, ("tom", "cora"), None, (("tom", "Welcome, Cora. Tell me what you would like to be able to do by spring."),)
    ),
    _Talk(
        104,
        ("tara", "tom", "owner"),
        "Coaches",
        (
            ("owner", "The new rower arrives on Friday. Who can help me set it up?"),
            ("tom", "I am in from eight."),
        ),
    ),
    _Talk(
        105,
        ("tara", "cleo", "carl"),
        "Sunday run",
        (
            ("tara", "Sunday at nine at the park gate, easy pace, everybody is welcome."),
            ("carl", "In."),
            ("cleo", "Me too, if it does not rain."),
        ),
    ),
)


async def load(database: Database, passwords: Passwords) -> None:
    """Load the demo people and their talk, once; what is there already stays as it is."""
    if await is_loaded(database):
        return
    password_hash = await passwords.hash(DEMO_PASSWORD)
    started = datetime.now(UTC) - timedelta(days=2)
    async with database.begin(SYSTEM, started) as tx:
        for person in _PEOPLE.values():
            new = NewUser(email=person.email, password=DEMO_PASSWORD, name=person.name, id=person.id)
            await identity.create_user(tx, new, password_hash, person.role)
    for order, talk in enumerate(_TALKS):
        await _load_talk(database, talk, started + timedelta(hours=order))


async def is_loaded(database: Database) -> bool:
    """Whether the demo people are there."""
    async with database.read(SYSTEM) as tx:
        return await identity.find_login(tx, _PEOPLE["cora"].email) is not None


async def _load_talk(database: Database, talk: _Talk, at: datetime) -> None:
    first, *others = (_PEOPLE[key] for key in talk.between)
    ids = [person.id for person in others]
    new: NewConversation = (
        NewDirect(member_ids=ids, id=demo_id(talk.number))
        if talk.name is None
        else NewGroup(member_ids=ids, name=talk.name, id=demo_id(talk.number))
    )
    async with database.begin(first.actor, at) as tx:
        conversation, _ = await chat.create_conversation(tx, new)
    for order, (who, text) in enumerate(talk.said):
        async with database.begin(_PEOPLE[who].actor, at + timedelta(minutes=7 * order)) as tx:
            await chat.mark_read(tx, conversation.id, order)
            message = NewMessage(client_id=demo_id(talk.number * 100 + order), text=text)
            await chat.send_message(tx, conversation.id, message)


def welcome() -> str:
    """Return the demo sign-ins, to be printed."""
    people = "\n".join(f"  {person.email:<28} {person.role}" for person in DEMO_PEOPLE)
    return f"Sign in with the password {DEMO_PASSWORD} as\n{people}"
