"""G5, G13, G14: instances die, are restarted and are stormed; people hardly notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.faults.conftest import INSTANCES, Court
from tests.faults.crowd import Crowd, going_on, kept, percentile, seconds_until
from tests.faults.figures import IS_FULL, Figures, only_in_full
from tests.faults.instances import Cluster, running_cluster
from tests.waiting import eventually

CLIENTS = 1000 if IS_FULL else 80
GROUP = 10
TALKERS = 20
EXIT_SECONDS = 10.0
PRESENCE_SECONDS = 45.0
ALL_BACK_SECONDS = 5.0
BYSTANDER_SECONDS = 0.5


@pytest.fixture(scope="session")
async def shared_cluster(shared_cluster: Cluster) -> AsyncIterator[Cluster]:
    """In full without roads to cut: a thousand clients would wait for our proxies, not for the server."""
    if not IS_FULL:
        yield shared_cluster
        return
    async with running_cluster(INSTANCES, roads=False) as direct:
        yield direct


async def test_clients_of_a_killed_instance_resume_on_another_with_one_sync(
    cluster: Cluster, crowd: Crowd, court: Court, figures: Figures
) -> None:
    await crowd.gather(CLIENTS // GROUP, GROUP)
    is_over = False
    async with crowd.connected(within=120):
        victim = cluster.instances[0]
        async with going_on(*(crowd.talk(one, lambda: is_over, pause=0.5) for one in crowd.members[:TALKERS])):
            orphans = [member.client for member in crowd.members if member.client.url == victim.url]
            syncs = [client.syncs for client in orphans]
            killed_at = asyncio.get_running_loop().time()
            await victim.kill()
            await eventually(lambda: all(back(client.whole_at, killed_at) for client in orphans), within=60)
            took = [client.whole_at - killed_at for client in orphans]
            more = [place for place, client in enumerate(orphans) if client.syncs - syncs[place] > 1]
            is_over = True
        await eventually(crowd.agreed, within=30)
    verdict = await court.judge(crowd)
    of = f"of {len(orphans)} sockets"
    figures.seconds("G5", f"until whole again elsewhere (p50 {of})", percentile(took, 0.5), 1.5)
    figures.seconds("G5", f"until whole again elsewhere (p99 {of})", percentile(took, 0.99), 3.0)
    figures.none("G5", "acked and missing", verdict.missing, of=verdict.acknowledged)
    figures.none("G5", "devices that differ", [*verdict.misshown, *verdict.behind], of=CLIENTS)
    figures.at_most("G5", "sockets that needed more than one sync", len(more), len(orphans) // 100)


def back(whole_at: float, since: float) -> bool:
    return whole_at > since


@only_in_full
async def test_people_of_a_killed_instance_are_offline_after_a_while(
    cluster: Cluster, crowd: Crowd, figures: Figures
) -> None:
    await crowd.gather(1, 2)
    gone, watcher = (member.person for member in crowd.members)
    crowd.members = []
    lost, watching = crowd.a_client(gone, lambda: cluster.urls[:1]), crowd.a_client(watcher, lambda: cluster.urls[1:])

    def is_offline() -> bool:
        changes = [said["users"] for _, name, said in watching.heard if name == "presence.changed"]
        return any(
            user["user_id"] == str(gone.id) and user["state"] == "offline" for users in changes for user in users
        )

    async with kept([lost, watching]):
        await eventually(lambda: lost.whole.is_set() and watching.whole.is_set(), within=20)

        async def is_seen() -> bool:
            seen = await watching.call("watch_presence", {"user_ids": [str(gone.id)]})
            return bool(seen["users"][0]["state"] == "active")

        await eventually(is_seen)
        await cluster.instances[0].kill()
        took = await seconds_until(is_offline, within=PRESENCE_SECONDS + 30)
    figures.seconds("G5", "until people of a killed instance are offline", took, PRESENCE_SECONDS)


async def test_a_rolling_restart_loses_nothing_and_fails_nobody(
    cluster: Cluster, crowd: Crowd, court: Court, figures: Figures
) -> None:
    await crowd.gather(10 if IS_FULL else 6, 5)
    is_over = False
    ends: list[tuple[float, int]] = []

    async def restart() -> None:
        nonlocal is_over
        for instance in cluster.instances:
            sent = crowd.history.acknowledged
            await eventually(lambda: crowd.history.acknowledged > sent + 50, within=30)  # noqa: B023
            ends.append(await instance.stop())
            await instance.start()
        await eventually(crowd.all_whole, within=30)
        is_over = True

    async with crowd.connected():
        talks = [crowd.talk(member, lambda: is_over, pause=0.1, rest_share=0.4) for member in crowd.members]
        async with going_on(restart(), *talks):
            pass
        await eventually(crowd.agreed, within=30)
    verdict = await court.judge(crowd)
    failed = [f"{one.status} {one.refused}" for one in crowd.history.tries if one.status >= 500]
    figures.seconds(
        "G13", "until a process has ended after SIGTERM, under load", max(took for took, _ in ends), EXIT_SECONDS
    )
    figures.none("G13", "exit codes other than 0", [code for _, code in ends if code != 0], of=len(ends))
    figures.none("G13", "rolling restart: answers 5xx", failed, of=len(crowd.statuses))
    figures.none("G13", "rolling restart: acked and missing", verdict.missing, of=verdict.acknowledged)
    figures.none(
        "G13", "rolling restart: devices that differ", [*verdict.misshown, *verdict.behind], of=len(crowd.members)
    )


async def test_when_all_come_back_at_once_they_are_served_and_bystanders_hardly_wait(
    cluster: Cluster, crowd: Crowd, figures: Figures
) -> None:
    await crowd.gather(CLIENTS // GROUP, GROUP)
    bystanders = crowd.members[:TALKERS]
    stormers = [member.client for member in crowd.members[TALKERS:]]
    is_over = False
    async with crowd.connected(within=120):
        async with going_on(*(crowd.talk(one, lambda: is_over, pause=0.1) for one in bystanders)):
            dropped_at = asyncio.get_running_loop().time()
            began = time.monotonic()
            for client in stormers:
                client.drop()
            await eventually(lambda: all(back(client.whole_at, dropped_at) for client in stormers), within=60)
            took = max(client.whole_at for client in stormers) - dropped_at
            is_over = True
    waits = [one.acknowledged - one.invoked for one in crowd.history.tries if one.acknowledged and one.invoked >= began]
    figures.seconds("G14", f"until {len(stormers)} clients that came at once are whole", took, ALL_BACK_SECONDS)
    figures.seconds(
        "G14", f"bystanders' acks meanwhile (p99 of {len(waits)})", percentile(waits, 0.99), BYSTANDER_SECONDS
    )
    lost = sum(member.client.connects - 1 for member in bystanders)
    figures.at_most("G14", "bystanders that lost their connection", lost, 0)
