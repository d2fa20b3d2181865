"""Whatever happens, and however often a device is away: what it shows is what a fresh fetch shows."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from server.core.ids import new_id
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.device import Device, opened
from tests.sockets.view import View
from tests.waiting import eventually

PEOPLE = range(3)
TALKS = range(2)
INSTANCES = range(2)

SAY = st.tuples(st.just("say"), st.sampled_from(PEOPLE), st.sampled_from(TALKS), st.sampled_from(INSTANCES))
READ = st.tuples(st.just("read"), st.sampled_from(PEOPLE), st.sampled_from(TALKS), st.integers(0, 12))
OPEN = st.tuples(st.just("open"), st.sampled_from(PEOPLE), st.just(0), st.just(0))
AWAY = st.tuples(st.just("away"), st.just(0), st.just(0), st.just(0))
BACK = st.tuples(st.just("back"), st.sampled_from(INSTANCES), st.just(0), st.integers(1, 6))
Steps = list[tuple[str, int, int, int]]
STEPS: st.SearchStrategy[Steps] = st.lists(st.one_of(SAY, SAY, SAY, READ, OPEN, AWAY, BACK), max_size=25)


class Story:
    """Three people in two conversations on two instances; the first of them watches with one device."""

    def __init__(self, instances: tuple[Server, Server], people: list[Person], talks: list[UUID]) -> None:
        self.instances = instances
        self.people = people
        self.talks = talks
        self.view = View(str(people[0].id))
        self.device: Device | None = None
        self._stack = AsyncExitStack()

    async def say(self, who: int, talk: int, where: int) -> None:
        if who == 0 and self.device and where == 0:
            await self.device.send(self.talks[talk], "From the device that watches")
            return
        path, body = f"/conversations/{self.talks[talk]}/messages", {"client_id": str(new_id()), "text": "Hello"}
        answer = await self.instances[where].as_(self.people[who].access_token).post(path, body)
        assert answer.status == 201

    async def read(self, who: int, talk: int, seq: int) -> None:
        api = self.instances[0].as_(self.people[who].access_token)
        messages = (await api.get(f"/conversations/{self.talks[talk]}/messages")).body["items"]
        if messages:
            message = messages[min(seq, len(messages) - 1)]
            assert (await api.put(f"/messages/{message['id']}/read")).status == 200

    async def open(self, who: int, _: int, __: int) -> None:
        others = [str(person.id) for person in self.people if person is not self.people[who]]
        body = {"kind": "group", "name": "One more", "member_ids": others}
        answer = await self.instances[0].as_(self.people[who].access_token).post("/conversations", body)
        assert answer.status == 201

    async def away(self, *_: int) -> None:
        await self._stack.aclose()
        self.device = None

    async def back(self, where: int, _: int, limit: int) -> None:
        await self.away()
        token = self.people[0].access_token
        self.device = await self._stack.enter_async_context(opened(self.instances[where].url, token))
        self.view.begin_again()
        await self.view.catch_up(self.device, limit)

    async def truth(self) -> dict[str, Any]:
        """Fetch everything afresh."""
        api = self.instances[0].as_(self.people[0].access_token)
        listed = (await api.get("/conversations", limit=100)).body["items"]
        messages = {
            found["id"]: (await api.get(f"/conversations/{found['id']}/messages", limit=100)).body["items"]
            for found in listed
        }
        return {
            "badge": sum(found["unread"] for found in listed),
            "conversations": {found["id"]: found for found in listed},
            "messages": messages,
        }

    async def converges(self) -> bool:
        """Whether the view shows the truth; a gap is filled first, as an app would."""
        assert self.device
        if self.view.listen(self.device):
            await self.view.catch_up(self.device)
        assert self.view.shown() == await self.truth()
        return True


async def a_story(given: Given, server: Server, elsewhere: Server) -> Story:
    people = [await given.a_client("Cleo"), await given.a_client("Carl"), await given.a_trainer("Tara")]
    talks = [await given.a_conversation(*people, name=name) for name in ("Sunday run", "Plans")]
    return Story((server, elsewhere), people, [talk.id for talk in talks])


async def tell(story: Story, steps: Steps) -> None:
    """Let the story happen; in the end the view must show the truth."""
    await story.back(0, 0, 300)
    for name, *arguments in steps:
        await getattr(story, name)(*arguments)
    if story.device is None:
        await story.back(1, 0, 3)
    try:
        await eventually(story.converges)
    finally:
        await story.away()


@for_all(steps=STEPS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_an_old_view_and_what_is_heard_or_synced_make_a_fresh_one(
    given: Given, server: Server, elsewhere: Server, steps: Steps
) -> None:
    await tell(await a_story(given, server, elsewhere), steps)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_long_story_with_many_absences_converges_too(
    given: Given, server: Server, elsewhere: Server, seed: int
) -> None:
    chance = random.Random(seed)
    steps: Steps = []
    for _ in range(100):
        name = chance.choice(["say"] * 6 + ["read"] * 2 + ["away", "back", "open"])
        match name:
            case "say":
                steps.append((name, chance.choice(PEOPLE), chance.choice(TALKS), chance.choice(INSTANCES)))
            case "read":
                steps.append((name, chance.choice(PEOPLE), chance.choice(TALKS), chance.randrange(50)))
            case "back":
                steps.append((name, chance.choice(INSTANCES), 0, chance.randrange(1, 8)))
            case _:
                steps.append((name, chance.choice(PEOPLE), 0, 0))
    await tell(await a_story(given, server, elsewhere), steps)


async def test_what_was_read_while_one_was_away_is_seen_after_one_sync(
    given: Given, server: Server, elsewhere: Server
) -> None:
    story = await a_story(given, server, elsewhere)
    await story.back(0, 0, 300)
    for who in PEOPLE:
        await story.say(who, 0, 0)
    await eventually(story.converges)
    await story.away()
    for who in PEOPLE:
        await story.read(who, 0, 2)
    async with opened(elsewhere.url, story.people[0].access_token) as device:
        story.view.begin_again()
        await story.view.catch_up(device)
        assert story.view.shown() == await story.truth()
