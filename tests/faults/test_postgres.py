"""G7: while PostgreSQL is away everybody is told at once to come back, and nobody has to be restarted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from server.core.ids import new_id
from tests.faults.crowd import Crowd, Member, going_on
from tests.faults.figures import IS_FULL, Figures
from tests.faults.instances import Cluster
from tests.faults.probes import Asked, Probe, times
from tests.servers import Api
from tests.waiting import eventually

AWAY_SECONDS = 10.0 if IS_FULL else 3.0
ANSWER_SECONDS = 1.0
HEAL_SECONDS = 1.0

Fault = Callable[[Cluster], Awaitable[None]]


async def waited(seconds: float) -> None:
    end = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() >= end, within=seconds + 5)


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


def questions(cluster: Cluster, crowd: Crowd, writer: Member) -> list[Probe]:
    """Reads and writes over both roads."""
    mine = Api(cluster.http, writer.client.url, writer.person.access_token)

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
        probes = questions(cluster, crowd, writer)
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


def bad(refused: list[Asked]) -> list[str]:
    return [str(one) for one in refused if not one.is_good_refusal]
