"""G15, G16: whatever clients do, the server holds no more than it must, and under too much work it still works."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random
from typing import NamedTuple

import aiohttp

from server.core.ids import new_id
from tests.faults.client import PATH, LostError, RefusedError
from tests.faults.crowd import Crowd, Member, going_on, kept, percentile
from tests.faults.figures import IS_FULL, Figures, only_in_full
from tests.faults.history import History
from tests.faults.instances import Cluster, running_cluster
from tests.waiting import eventually

CHURN_SECONDS = 660.0 if IS_FULL else 6.0
WARM_UP_SECONDS = 60.0 if IS_FULL else 1.5
VISITORS = 20 if IS_FULL else 12
PAUSE_SECONDS = 0.2
MEMORY_GROWTH_PERCENT = 5.0
RETURN_SECONDS = 10.0

SENDERS = 600
PROCESSOR_SHARE = 0.08
MEASURED_SECONDS = 10.0
GOOD_SECONDS = 2.0
GOODPUT_PERCENT = 80.0


async def visit(crowd: Crowd, member: Member) -> None:
    """Come, catch up, say something, and leave in one of the ways in which people and networks leave."""
    client = crowd.a_client(member.person)
    async with kept([client]):
        await eventually(client.whole.is_set, within=20)
        for _ in range(crowd.chance.randrange(3)):
            await crowd.try_socket(member, str(new_id()), "Just looking", client)
        if crowd.chance.random() < 0.5:
            client.drop()


async def visit_rudely(http: aiohttp.ClientSession, url: str, chance: Random) -> None:
    """Open a socket and say nothing, or something that is not Socket.IO."""
    async with http.ws_connect(f"{url}{PATH}") as socket:
        await socket.receive(10)
        frame = chance.choice(["", "4", "40/chat,", '42["sync",{}]', "451-[", "49", "x" * 5000])
        if frame:
            await socket.send_str(frame)


async def test_after_a_churn_of_clients_memory_and_open_files_are_what_they_were(
    cluster: Cluster, crowd: Crowd, figures: Figures
) -> None:
    await crowd.gather(VISITORS // 2, 2)
    members, crowd.members = crowd.members, []
    visits: Counter[str] = Counter()

    async def churn(member: Member, end: float) -> None:
        while time.monotonic() < end:
            try:
                if crowd.chance.random() < 0.3:
                    await visit_rudely(cluster.http, crowd.chance.choice(cluster.urls), crowd.chance)
                    visits["rude"] += 1
                else:
                    await visit(crowd, member)
                    visits["normal"] += 1
            except (aiohttp.ClientError, OSError, TimeoutError, LostError, RefusedError):
                visits["failed"] += 1
            crowd.history.lines.clear()
            await asyncio.sleep(PAUSE_SECONDS * crowd.chance.random())

    async def all_churn(seconds: float) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            for member in members:
                tasks.create_task(churn(member, end))

    idle = await held(cluster)
    await all_churn(WARM_UP_SECONDS)
    await eventually(lambda: returned(cluster, idle), within=30)
    memory = [instance.memory() for instance in cluster.instances]
    await all_churn(CHURN_SECONDS)
    ended = time.monotonic()
    await eventually(lambda: returned(cluster, idle), within=RETURN_SECONDS + 30)
    took = time.monotonic() - ended
    growth = max(
        100 * (instance.memory() - before) / before for instance, before in zip(cluster.instances, memory, strict=True)
    )
    what = f"memory after {CHURN_SECONDS:.0f} s of churn, {visits['normal']} normal and {visits['rude']} rude visits"
    figures.none("G15", "visits that failed", ["failed"] * visits["failed"], of=visits.total())
    figures.seconds("G15", "until open files, tasks and connections are as before", took, RETURN_SECONDS)
    if IS_FULL:
        figures.at_most("G15", what, growth, MEMORY_GROWTH_PERCENT, "%")
    else:
        figures.only_shown("G15", what, f"{growth:+.1f} %")


class Held(NamedTuple):
    """What an instance holds that must be given back."""

    files: int
    tasks: int
    connections: int


async def held(cluster: Cluster) -> list[Held]:
    """Return what every instance holds now."""
    found = []
    for instance in cluster.instances:
        gauges = await cluster.gauges(instance)
        found.append(Held(instance.open_files(), int(gauges["fitsync_tasks"]), int(gauges["fitsync_connections"])))
    return found


async def returned(cluster: Cluster, idle: list[Held]) -> bool:
    """Whether no instance holds more than before, but for connections to PostgreSQL, and ours, that are kept for reuse."""
    kept_for_reuse = 20
    for now, before in zip(await held(cluster), idle, strict=True):
        assert now.connections <= before.connections, now
        assert now.tasks <= before.tasks + kept_for_reuse, (now, before)
        assert now.files <= before.files + kept_for_reuse, (now, before)
    return True


@only_in_full
async def test_at_twice_its_capacity_an_instance_still_does_most_of_it(figures: Figures, chance: Random) -> None:
    async with running_cluster(1, roads=False) as cluster:
        crowd = Crowd(cluster, History(), chance)
        await crowd.gather(SENDERS, 2)
        crowd.members = crowd.members[::2]
        async with crowd.connected(within=120), cluster.instances[0].slowed_to(PROCESSOR_SHARE):
            await closed_loop(crowd, 3)
            crowd.history.lines.clear()
            peak = await closed_loop(crowd, MEASURED_SECONDS)
            crowd.history.lines.clear()
            offered, good, outcomes, waits, refusals = await open_loop(crowd, 2 * peak, MEASURED_SECONDS)
    figures.only_shown("G16", "peak of acked messages in a second", f"{peak:,.0f}")
    figures.only_shown("G16", "offered in a second", f"{offered:,.0f}")
    rest = ", ".join(f"{name} {number:,}" for name, number in outcomes.most_common())
    figures.only_shown("G16", "what became of them", rest)
    for what, seconds in (("acks", waits), ("refusals", refusals)):
        shown = f"{percentile(seconds, 0.5):.2f} s, {percentile(seconds, 0.99):.2f} s"
        figures.only_shown("G16", f"{what} came after (p50, p99)", shown)
    share = 100 * good / peak
    figures.at_least("G16", f"acked within {GOOD_SECONDS:.0f} s at twice the peak", share, GOODPUT_PERCENT, "%")
    lost = [name for name in outcomes if name not in {"acked", "late", "rate_limited", "unavailable"}]
    figures.none("G16", "other outcomes than acks and refusals", lost)


async def closed_loop(crowd: Crowd, seconds: float) -> float:
    """Let everybody send as fast as they are acked; return the acks in a second."""
    end = time.monotonic() + seconds
    before = crowd.history.acknowledged

    async def send(member: Member) -> None:
        while time.monotonic() < end:
            await crowd.say(member, "As fast as we may")

    async with going_on(*(send(member) for member in crowd.members)):
        pass
    return (crowd.history.acknowledged - before) / seconds


class Outcome(NamedTuple):
    """What came of more work than can be done."""

    offered: float
    good: float
    counts: Counter[str]
    waits: list[float]
    refusals: list[float]


async def open_loop(crowd: Crowd, rate: float, seconds: float) -> Outcome:
    """Send at a rate, whatever becomes of it; offered and good are by the second."""
    outcomes: Counter[str] = Counter()
    waits: list[float] = []
    refusals: list[float] = []

    async def send(member: Member) -> None:
        began = time.monotonic()
        try:
            await crowd.try_socket(member, str(new_id()), "More than you can")
        except RefusedError as refused:
            outcomes[refused.code] += 1
            refusals.append(time.monotonic() - began)
        except (LostError, TimeoutError) as lost:
            outcomes[type(lost).__name__] += 1
        else:
            waits.append(time.monotonic() - began)
            outcomes["acked" if waits[-1] <= GOOD_SECONDS else "late"] += 1

    begun, sent = time.monotonic(), 0
    async with asyncio.TaskGroup() as tasks:
        while (now := time.monotonic()) < begun + seconds:
            for _ in range(int((now - begun) * rate) - sent):
                tasks.create_task(send(crowd.members[sent % len(crowd.members)]))
                sent += 1
            await asyncio.sleep(0.005)
    return Outcome(sent / seconds, outcomes["acked"] / seconds, outcomes, waits, refusals)
