"""G11: whoever logs out is out, on every instance."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.faults.client import Client
from tests.faults.crowd import Crowd, going_on, kept, percentile, seconds_until
from tests.faults.figures import IS_FULL, Figures
from tests.faults.instances import Cluster
from tests.servers import Api
from tests.waiting import eventually

SESSIONS = 100 if IS_FULL else 15
CLOSE_SECONDS = 1.0
WITHOUT_REDIS_SECONDS = 5.0


async def test_a_logout_closes_every_socket_of_the_session_on_every_instance(
    cluster: Cluster, crowd: Crowd, figures: Figures
) -> None:
    await crowd.gather(1, SESSIONS + 1)
    *leavers, stayer = crowd.members
    # Each session has a device on either instance; one that stays talks all the time.
    devices = {
        member.person.id: [crowd.a_client(member.person, lambda url=url: [url]) for url in cluster.urls]  # type: ignore[misc]
        for member in leavers
    }
    crowd.members = [stayer]
    everyone = [device for pair in devices.values() for device in pair]
    is_over = False
    took: list[float] = []
    out_at: dict[UUID, float] = {}
    async with crowd.connected(), kept(everyone):
        await eventually(lambda: all(device.whole.is_set() for device in everyone), within=30)
        async with going_on(crowd.talk(stayer, lambda: is_over, pause=0.02)):
            for place, member in enumerate(leavers):
                pair = devices[member.person.id]
                url = cluster.urls[place % len(cluster.urls)]
                answer = await Api(cluster.http, url, member.person.access_token).post("/auth/logout")
                assert answer.status == 204
                out_at[member.person.id] = asyncio.get_running_loop().time()
                took.append(await seconds_until(lambda: all(closed(device) for device in pair), within=5))  # noqa: B023
            is_over = True
        await asyncio.gather(*(eventually(lambda: device.ended, within=10) for device in everyone))  # noqa: B023
    figures.seconds(
        "G11",
        f"until both sockets are closed after a logout (p99 of {SESSIONS})",
        percentile(took, 0.99),
        CLOSE_SECONDS,
    )
    late = [
        f"{device.message_at - out_at[id_]:.2f} s"
        for id_, pair in devices.items()
        for device in pair
        if device.message_at > out_at[id_] + CLOSE_SECONDS
    ]
    figures.none("G11", "sockets that heard a message a second after the logout", late, of=len(everyone))
    codes = [
        device.ended for device in everyone if device.ended not in {"logout", "session_ended", "identity.session_ended"}
    ]
    figures.none("G11", "sockets that could come back", codes, of=len(everyone))


async def test_a_logout_reaches_other_instances_while_redis_is_away(
    cluster: Cluster, crowd: Crowd, figures: Figures
) -> None:
    await crowd.gather(1, 2)
    leaver, _ = crowd.members
    device = crowd.a_client(leaver.person, lambda: [cluster.urls[1]])
    crowd.members = []
    async with kept([device]):
        await eventually(device.whole.is_set, within=10)
        for roads in cluster.roads:
            roads.to_redis.refuses = True
            roads.to_redis.cut()
        answer = await Api(cluster.http, cluster.urls[0], leaver.person.access_token).post("/auth/logout")
        assert answer.status == 204
        took = await seconds_until(lambda: closed(device), within=WITHOUT_REDIS_SECONDS + 3)
    figures.seconds("G11", "without Redis: until the socket on another instance is closed", took, WITHOUT_REDIS_SECONDS)


def closed(device: Client) -> bool:
    return not device.whole.is_set()
