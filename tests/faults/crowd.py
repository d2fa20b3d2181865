"""Many people with their devices, who talk over whatever works and try again until they are told that it is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp

from server.core.ids import new_id
from server.domain.chat.models import Conversation
from tests.faults.client import Client, Json, LostError, RefusedError
from tests.faults.history import History
from tests.faults.instances import Cluster
from tests.given import Person
from tests.servers import Api
from tests.waiting import eventually

TRIES_AT_MOST = 200
REST_SECONDS = 10.0


@dataclass
class Member:
    """A person in one conversation, with one device."""

    person: Person
    conversation_id: str
    client: Client

    @property
    def topic(self) -> str:
        return f"conversation:{self.conversation_id}"

    @property
    def shown(self) -> list[tuple[int, str]]:
        return self.client.shown.get(self.topic, [])


class Crowd:
    """Groups of people, and the history of what they did."""

    def __init__(self, cluster: Cluster, history: History, chance: Random) -> None:
        self.members: list[Member] = []
        self.history = history
        self.chance = chance
        self.statuses: list[int] = []
        """The status of every answer over REST."""
        self._cluster = cluster

    async def gather(self, groups: int, of: int) -> list[Conversation]:
        """Make new people and seat them in new groups; they open their devices with `connected`."""
        given, conversations = self._cluster.given, []
        for number in range(groups):
            people = [await given.a_client(f"Person {number}-{place}") for place in range(of)]
            conversation = await given.a_conversation(*people, name=f"Group {number}")
            conversations.append(conversation)
            self.members += [Member(person, str(conversation.id), self.a_client(person)) for person in people]
        return conversations

    def a_client(self, person: Person, urls: Callable[[], Sequence[str]] | None = None) -> Client:
        """Return a device of a person, on any instance by default."""
        addresses = urls or (lambda: self._cluster.urls)
        return Client(self._cluster.http, addresses, person.access_token, Random(self.chance.random()))

    @asynccontextmanager
    async def connected(self, within: float = 60) -> AsyncIterator[None]:
        """Keep the devices of all members connected for the length of a block, which begins when all have caught up."""
        async with kept([member.client for member in self.members]):
            await eventually(self.all_whole, within)
            yield

    def all_whole(self) -> bool:
        """Whether every device is connected and has caught up."""
        return all(member.client.whole.is_set() for member in self.members)

    async def say(self, member: Member, text: str, road: str = "socket", client_id: str = "") -> Json:
        """Send one message, again and again with the same id until it is acked."""
        client_id = client_id or str(new_id())
        for _ in range(TRIES_AT_MOST):
            try:
                if road == "rest":
                    return await self.try_rest(member, client_id, text, self.chance.choice(self._cluster.urls))
                async with asyncio.timeout(REST_SECONDS):
                    await member.client.whole.wait()
                return await self.try_socket(member, client_id, text)
            except RefusedError as refused:
                if not refused.retryable:
                    raise
                await asyncio.sleep(refused.retry_after * self.chance.uniform(0.2, 1))
            except (LostError, TimeoutError, OSError, aiohttp.ClientError):
                await asyncio.sleep(self.chance.uniform(0.05, 0.2))
        raise AssertionError(f"{client_id} was not acked in {TRIES_AT_MOST} tries")

    async def try_socket(self, member: Member, client_id: str, text: str, client: Client | None = None) -> Json:
        """Send a message once over a device, the member's own by default."""
        body = {"conversation_id": member.conversation_id, "client_id": client_id, "text": text}
        one = self.history.begin(client_id, str(member.person.id), member.conversation_id, text, "socket")
        try:
            message: Json = await (client or member.client).call("send_message", body, "/chat")
        except RefusedError as refused:
            one.refused = refused.code
            raise
        self.history.acknowledge(one, message)
        return message

    async def try_rest(self, member: Member, client_id: str, text: str, url: str) -> Json:
        """Send a message once over REST."""
        api = Api(self._cluster.http, url, member.person.access_token)
        one = self.history.begin(client_id, str(member.person.id), member.conversation_id, text, "rest")
        async with asyncio.timeout(REST_SECONDS):
            answer = await api.post(
                f"/conversations/{member.conversation_id}/messages", {"client_id": client_id, "text": text}
            )
        one.status = answer.status
        self.statuses.append(answer.status)
        if answer.status not in {200, 201}:
            one.refused = answer.code
            raise RefusedError(answer.body)
        self.history.acknowledge(one, answer.body)
        return dict(answer.body)

    async def talk(
        self, member: Member, until: Callable[[], bool], *, pause: float = 0.0, rest_share: float = 0.0
    ) -> None:
        """Say one thing after the other until told to stop."""
        number = 0
        while not until():
            number += 1
            road = "rest" if self.chance.random() < rest_share else "socket"
            await self.say(member, f"{member.person.user.name}, number {number}", road)
            if pause:
                await asyncio.sleep(pause * self.chance.uniform(0.5, 1.5))

    def agreed(self) -> bool:
        """Whether all devices of each group show the same, up to the last message that was acked."""
        heads: dict[str, int] = {}
        for one in self.history.tries:
            if one.acknowledged is not None:
                heads[one.conversation_id] = max(one.seq, heads.get(one.conversation_id, 0))
        for member in self.members:
            heads[member.conversation_id] = max(heads.get(member.conversation_id, 0), self._last(member))
        return all(self._last(member) == heads[member.conversation_id] for member in self.members)

    def _last(self, member: Member) -> int:
        return member.client.last.get(member.topic, 0)

    def take_down(self) -> None:
        """Write down what every device shows."""
        for number, member in enumerate(self.members):
            self.history.show(f"{member.person.user.name} #{number}", member.conversation_id, member.shown)


@asynccontextmanager
async def kept(clients: Sequence[Client]) -> AsyncIterator[None]:
    """Keep devices alive for the length of a block."""
    async with asyncio.TaskGroup() as tasks:
        living = [tasks.create_task(client.run()) for client in clients]
        try:
            yield
        finally:
            for one in living:
                one.cancel()


@asynccontextmanager
async def going_on(*works: Any) -> AsyncIterator[None]:
    """Let work go on beside a block, and wait at its end until it is done; the work must know when to stop."""
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(work)
        yield


async def waited(seconds: float) -> None:
    """Let a fault last so long."""
    end = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() >= end, within=seconds + 5)


async def seconds_until(condition: Callable[[], bool], within: float) -> float:
    """Measure how long something takes to come true; `within` when it did not."""
    begun = time.monotonic()
    with suppress(AssertionError):
        await eventually(condition, within)
    return time.monotonic() - begun


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so great a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else 0.0
