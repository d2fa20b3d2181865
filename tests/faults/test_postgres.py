"""G7: while PostgreSQL is away everybody is told at once to come back, and nobody has to be restarted.

The same holds, as a part of G16, for whoever would have to wait too long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from server.core.ids import new_id
from tests.faults.crowd import Crowd, Member, going_on, waited
from tests.faults.figures import IS_FULL, Figures
from tests.faults.instances import Cluster
from tests.faults.probes import Asked, Probe, times
from tests.servers import Api
from tests.waiting import eventually

AWAY_SECONDS = 10.0 if IS_FULL else 3.0
ANSWER_SECONDS = 1.0
HEAL_SECONDS = 1.0
QUEUE = 20
LONGEST_QUEUE_SECONDS = 0.5
REFUSAL_SECONDS = 0.2

Fault = Callable[[Cluster], Awaitable[None]]


async def postgresql_crashes(cluster: Cluster) -> None:
    cluster.crash_postgres()

    async def refuses() -> bool:
        return not await cluster.postgres_accepts()

    await eventually(refuses)
    await eventually(cluster.postgres_accepts, within=30)


async def postgresql_is_unreachable(cluster: Cluster) -> None:
    for roads in cluster.roads:
        roads.to_postgres.refuses = True
        roads.to_postgres.cut()
    await waited(AWAY_SECONDS)
    for roads in cluster.roads:
        roads.to_postgres.refuses = False


async def postgresql_hangs(cluster: Cluster) -> None:
    for roads in cluster.roads:
        roads.to_postgres.block()
    await waited(AWAY_SECONDS)
    for roads in cluster.roads:
        roads.to_postgres.unblock()


def questions(cluster: Cluster, crowd: Crowd, writer: Member, url: str) -> list[Probe]:
    """Reads and writes over both roads."""
    mine = Api(cluster.http, url, writer.person.access_token)

    async def send() -> object:
        return await crowd.try_socket(writer, str(new_id()), "Over a socket")

    async def post() -> object:
        body = {"client_id": str(new_id()), "text": "Over REST"}
        return await mine.post(f"/conversations/{writer.conversation_id}/messages", body)

    async def read() -> object:
        return await mine.get("/users/me")

    return [Probe("send_message", send), Probe("POST messages", post), Probe("GET me", read)]


@pytest.mark.parametrize("fault", [postgresql_crashes, postgresql_is_unreachable, postgresql_hangs])
async def test_without_postgresql_everybody_is_told_at_once_to_come_back(
    cluster: Cluster, crowd: Crowd, figures: Figures, fault: Fault
) -> None:
    await crowd.gather(1, 2)
    writer = crowd.members[0]
    pids = [instance.pid for instance in cluster.instances]
    back_at, is_over = 0.0, False

    async def break_it() -> None:
        nonlocal back_at, is_over
        await fault(cluster)
        back_at = time.monotonic()
        await eventually(lambda: all(probe.first_success(back_at) < 20 for probe in probes), within=20)
        is_over = True

    async with crowd.connected():
        probes = questions(cluster, crowd, writer, writer.client.url)
        begun = time.monotonic()
        async with going_on(break_it(), *(probe.go_on(lambda: is_over) for probe in probes)):
            pass
        reconnects = sum(member.client.connects - 1 for member in crowd.members)
    state = fault.__name__.replace("_", " ")
    for probe in probes:
        asked = probe.between(begun, back_at)
        refused = [one for one in asked if one.outcome != "ok"]
        figures.seconds("G7", f"{state}: {probe.name} is answered within (all)", times(asked, 1), ANSWER_SECONDS)
        figures.none("G7", f"{state}: {probe.name} not refused as it should be", bad(refused), of=len(asked))
        healed = probe.first_success(back_at)
        figures.seconds("G7", f"{state}: {probe.name} works again after", healed, HEAL_SECONDS)
    figures.at_most("G7", f"{state}: sockets that lost their connection", reconnects, 0)
    ended = [
        instance.name
        for instance, pid in zip(cluster.instances, pids, strict=True)
        if not instance.is_running or instance.pid != pid
    ]
    figures.none("G7", f"{state}: instances that ended", ended, of=len(pids))


async def test_whoever_would_wait_too_long_is_refused_at_once(cluster: Cluster, crowd: Crowd, figures: Figures) -> None:
    await crowd.gather(1, 2)
    writer = crowd.members[0]
    url = cluster.urls[0]
    locker = await asyncpg.connect(cluster.database_url)
    try:
        async with crowd.connected(), asyncio.TaskGroup() as tasks:
            _, post, read = questions(cluster, crowd, writer, url)
            async with locker.transaction():
                await locker.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", UUID(writer.conversation_id))
                for _ in range(QUEUE):
                    tasks.create_task(Probe("waits", post.ask).go_on(happened_once()))
                await waited(LONGEST_QUEUE_SECONDS + 0.2)
                end = time.monotonic() + 0.5
                async with going_on(
                    post.go_on(lambda: time.monotonic() > end), read.go_on(lambda: time.monotonic() > end)
                ):
                    pass
    finally:
        await locker.close()
    figures.none("G16", "behind a lock: newcomers that were not refused as they should be", bad(post.answers))
    figures.seconds("G16", "behind a lock: newcomers are refused within (all)", times(post.answers, 1), REFUSAL_SECONDS)
    figures.none(
        "G16", "behind a lock: others that were not served", [one for one in read.answers if one.outcome != "ok"]
    )


def happened_once() -> Callable[[], bool]:
    """Return what is false once and then true."""
    answers = iter([False])
    return lambda: next(answers, True)


def bad(refused: list[Asked]) -> list[str]:
    return [str(one) for one in refused if not one.is_good_refusal]
