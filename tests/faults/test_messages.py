"""G1, G2, G3: what was acked is there, once, in one order for everybody."""

from __future__ import annotations

import asyncio
from random import Random
from uuid import uuid4

from server.core.ids import new_id
from tests.faults.client import RefusedError
from tests.faults.conftest import Court
from tests.faults.crowd import Crowd, going_on, kept
from tests.faults.figures import IS_FULL, Figures
from tests.faults.instances import Cluster
from tests.faults.script import Fault, a_script, play
from tests.waiting import eventually

ACKED = 25_000 if IS_FULL else 1_000
GROUPS = 20 if IS_FULL else 6
GROUP = 5
FAULTS = {"kill": 8, "crash": 5} if IS_FULL else {"kill": 1, "crash": 1}
SAME_MESSAGES = 500 if IS_FULL else 25
WRITERS = 50
EACH_WRITES = 40 if IS_FULL else 3


async def test_an_acked_message_survives_killed_instances_and_crashes_of_postgresql(
    cluster: Cluster, crowd: Crowd, court: Court, figures: Figures, chance: Random
) -> None:
    await crowd.gather(GROUPS, GROUP)

    def enough() -> bool:
        return crowd.history.acknowledged >= ACKED

    async def happen(fault: Fault) -> None:
        if fault.kind == "crash":
            cluster.crash_postgres()
            return
        victim = cluster.instances[fault.victim]
        await victim.kill()
        await victim.start()

    script = a_script(chance, ACKED, FAULTS, len(cluster.instances))
    async with crowd.connected():
        talks = [crowd.talk(member, enough, rest_share=0.2) for member in crowd.members]
        async with going_on(*talks, play(script, crowd.history, happen)):
            pass
        await eventually(crowd.agreed, within=60)
    verdict = await court.judge(crowd)
    killed, crashed = FAULTS["kill"], FAULTS["crash"]
    figures.at_least("G1", f"acked, {killed} kills and {crashed} crashes of PostgreSQL", verdict.acknowledged, ACKED)
    figures.none("G1", "acked and missing or changed", verdict.missing, of=verdict.acknowledged)
    figures.none("G1", "saved twice", verdict.doubled)
    figures.none("G1", "acked in two ways", verdict.disagreeing)
    figures.none("G1", "saved though nobody sent it", verdict.unasked)
    figures.none("G1", "gaps in the order", verdict.gaps)
    figures.none("G1", "devices that show something else", [*verdict.misshown, *verdict.behind], of=len(crowd.members))


async def test_five_tries_at_once_over_both_roads_and_instances_save_one_message(
    cluster: Cluster, crowd: Crowd, court: Court, figures: Figures
) -> None:
    await crowd.gather(1, 2)
    writer = crowd.members[0]
    devices = [crowd.a_client(writer.person, lambda url=url: [url]) for url in cluster.urls]  # type: ignore[misc]
    conflicts, client_id = [], ""
    async with crowd.connected(), kept(devices):
        await eventually(lambda: all(device.whole.is_set() for device in devices))
        for number in range(SAME_MESSAGES):
            client_id, text = str(new_id()), f"Number {number}"
            tries = [crowd.try_socket(writer, client_id, text, device) for device in devices]
            tries += [crowd.try_rest(writer, client_id, text, url) for url in (*cluster.urls, cluster.urls[0])]
            crowd.chance.shuffle(tries)
            answers = await asyncio.gather(*tries)
            if sum(not answer.get("duplicate") for answer in answers) != 1:
                conflicts.append(f"{client_id} was new to {answers}")
        other_body, told = f"Not {uuid4()}", []
        for again in (
            crowd.try_socket(writer, client_id, other_body, devices[1]),
            crowd.try_rest(writer, client_id, other_body, cluster.urls[0]),
        ):
            try:
                await again
            except RefusedError as refused:
                told.append(refused.code)
        await eventually(crowd.agreed)
    verdict = await court.judge(crowd)
    figures.at_least("G2", "messages sent by 5 tries at once", verdict.distinct, SAME_MESSAGES)
    figures.none("G2", "saved twice", verdict.doubled, of=verdict.distinct)
    figures.none("G2", "acked with another id or seq", verdict.disagreeing, of=verdict.acknowledged)
    figures.none("G2", "new to none or to several tries", conflicts, of=verdict.distinct)
    figures.none("G2", "acked and missing", verdict.missing, of=verdict.acknowledged)
    figures.at_least("G2", "another body is a conflict, over both roads", told.count("chat.client_id_reused"), 2)


async def test_fifty_writers_with_slow_commits_make_one_order_without_gaps(
    cluster: Cluster, crowd: Crowd, court: Court, figures: Figures
) -> None:
    await crowd.gather(1, WRITERS)
    cluster.roads[0].to_postgres.delay = 0.003  # the commits of one instance are late, those of the other are not
    async with crowd.connected():

        async def write(place: int) -> None:
            for number in range(EACH_WRITES):
                await crowd.say(crowd.members[place], f"{place}: {number}", crowd.chance.choice(["socket", "rest"]))

        async with asyncio.TaskGroup() as tasks:
            for place in range(WRITERS):
                tasks.create_task(write(place))
        await eventually(crowd.agreed, within=20)
    verdict = await court.judge(crowd)
    figures.at_least(
        "G3", f"messages of {WRITERS} writers in one conversation", verdict.acknowledged, WRITERS * EACH_WRITES
    )
    figures.none("G3", "gaps in the order", verdict.gaps)
    figures.none("G3", "devices with another order", [*verdict.misshown, *verdict.behind], of=WRITERS)
    figures.none("G3", "acked and missing", verdict.missing, of=verdict.acknowledged)
