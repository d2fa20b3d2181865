"""G4, G6: Redis carries hints. Without it nothing is refused, nobody waits, and nothing stays lost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from server.core.ids import new_id
from tests.faults.conftest import Court
from tests.faults.crowd import Crowd, Member, going_on, kept, waited
from tests.faults.figures import IS_FULL, Figures
from tests.faults.instances import Cluster
from tests.faults.probes import Probe, times
from tests.servers import Api
from tests.waiting import eventually

OUTAGES = (2.0, 10.0, 40.0) if IS_FULL else (2.0,)
HANGS = (3.0, 10.0) if IS_FULL else (3.0,)
GROUPS = 10 if IS_FULL else 4
HEAL_SECONDS = 2.0
HUNG_SECONDS = 20.0 if IS_FULL else 2.5
REDIS_WAIT = 0.25


@asynccontextmanager
async def redis_dead(cluster: Cluster) -> AsyncIterator[None]:
    """Every connection is reset, and none is let in."""
    for roads in cluster.roads:
        roads.to_redis.refuses = True
        roads.to_redis.cut()
    yield
    for roads in cluster.roads:
        roads.to_redis.refuses = False


@asynccontextmanager
async def redis_hung(cluster: Cluster) -> AsyncIterator[None]:
    """Nothing comes through any more, and nobody says so."""
    for roads in cluster.roads:
        roads.to_redis.block()
    yield
    for roads in cluster.roads:
        roads.to_redis.unblock()


Fault = Callable[[Cluster], AbstractAsyncContextManager[None]]


@pytest.mark.parametrize(
    ("fault", "outage"), [*((redis_dead, outage) for outage in OUTAGES), *((redis_hung, hang) for hang in HANGS)]
)
async def test_devices_equal_the_database_two_seconds_after_redis_is_back(
    cluster: Cluster, crowd: Crowd, court: Court, figures: Figures, fault: Fault, outage: float
) -> None:
    await crowd.gather(GROUPS, 4)
    is_back = False

    async def away() -> None:
        nonlocal is_back
        async with fault(cluster):
            # Some come while nobody can hear for them what happens on the other instance.
            for member in crowd.members[::4]:
                member.client.drop()
            await waited(outage)
        is_back = True

    async with crowd.connected():
        talks = [crowd.talk(member, lambda: is_back, pause=0.3) for member in crowd.members]
        async with going_on(away(), *talks):
            await eventually(lambda: is_back, within=outage + 10)
            back_at = time.monotonic()
        await eventually(crowd.agreed, within=40)
        healed = time.monotonic() - back_at
        reconnects = sum(member.client.connects - 1 for member in crowd.members)
    verdict = await court.judge(crowd)
    lost = f"{fault.__name__.replace('_', ' ')} for {outage:.0f} s"
    figures.seconds("G4", f"{lost}: until all devices equal the database", healed, HEAL_SECONDS)
    figures.none("G4", f"{lost}: devices that differ", [*verdict.misshown, *verdict.behind], of=len(crowd.members))
    figures.none("G4", f"{lost}: acked and missing", verdict.missing, of=verdict.acknowledged)
    figures.at_most("G4", f"{lost}: connections lost, but for those we cut", reconnects - GROUPS, 0)


def questions(cluster: Cluster, crowd: Crowd, writer: Member, listener: Member) -> list[Probe]:
    """Everything that somebody does who opens the app and talks."""
    url, person = cluster.urls[0], writer.person
    mine = Api(cluster.http, url, person.access_token)

    async def send() -> object:
        return await crowd.try_socket(writer, str(new_id()), "Over a socket")

    async def post() -> object:
        body = {"client_id": str(new_id()), "text": "Over REST"}
        return await mine.post(f"/conversations/{writer.conversation_id}/messages", body)

    async def log_in() -> object:
        return await Api(cluster.http, url).post("/auth/login", {"email": person.email, "password": person.password})

    async def arrive() -> object:
        client = crowd.a_client(person, lambda: [url])
        async with kept([client]):
            return await eventually(client.whole.is_set, within=8)

    async def ask_to_sync() -> object:
        return await listener.client.call("sync", {"cursors": {}})

    return [
        Probe("send_message", send),
        Probe("POST messages", post),
        Probe("login", log_in),
        Probe("connect and sync", arrive),
        Probe("sync", ask_to_sync),
    ]


@pytest.mark.parametrize("fault", [redis_dead, redis_hung])
async def test_chat_and_login_go_on_without_waiting_for_redis(
    cluster: Cluster, crowd: Crowd, figures: Figures, fault: Fault
) -> None:
    await crowd.gather(1, 2)
    probes = questions(cluster, crowd, *crowd.members)
    state = fault.__name__.replace("_", " ")
    async with crowd.connected():
        begun = time.monotonic()
        async with going_on(*(probe.go_on(lambda: time.monotonic() > begun + 1) for probe in probes)):
            pass
        async with fault(cluster):
            broken = time.monotonic()
            end = broken + HUNG_SECONDS
            async with going_on(*(probe.go_on(lambda: time.monotonic() > end) for probe in probes)):
                pass
    failed = []
    for probe in probes:
        before, during = probe.between(begun, broken), probe.between(broken, end)
        failed += [f"{probe.name}: {asked}" for asked in during if asked.outcome != "ok"]
        waited = times(during, 0.99) - times(before, 0.5)
        figures.seconds(
            "G6", f"{state}: {probe.name} waits (p99, without its usual time)", max(0.0, waited), REDIS_WAIT
        )
    asked = sum(len(probe.between(broken, end)) for probe in probes)
    figures.none("G6", f"{state}: refused or failed", failed, of=asked)
    figures.none("G6", f"{state}: errors in the logs", cluster.errors())
