"""A run: every workload, every contender in turn, several times over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from bench import load_tool
from bench.crowds import Crowd
from bench.load_tool import LoadFailed, MissingTool
from bench.machine import Cores
from bench.servers import OURS, PEER_STOCK, Contender, Running, running
from bench.stage import Stage
from bench.workloads import Counted, Workload

BESIDE = 1000
BESIDE_SECONDS = 120


@dataclass(frozen=True)
class Wishes:
    """How long and how often."""

    seconds: float
    rounds: int
    quick: bool
    until: float  # of the monotonic clock: from then on each workload gets one round

    def rounds_of(self, workload: Workload) -> int:
        """Return how many rounds a workload is to have."""
        return 1 if self.quick else (workload.rounds or self.rounds)


@dataclass
class Outcome:
    """What a workload brought: for each round and contender what was counted, or why there is nothing."""

    workload: Workload
    rounds: list[dict[str, Counted]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@asynccontextmanager
async def serving(
    workload: Workload, cores: Cores, stage: Stage, contenders: list[Contender]
) -> AsyncIterator[tuple[list[Running], list[str]]]:
    """Run everybody's servers as a workload wants them; yields who is ready, and why others are not."""
    ready: list[Running] = []
    missing: list[str] = []
    async with AsyncExitStack() as stack:
        for contender in contenders:
            url = await stage.copy_database(f"bench_{contender.name}")
            servers = running(
                cores, contender, url, stage.redis_url, durable=workload.durable, instances=workload.instances
            )
            try:
                ready.append(await stack.enter_async_context(servers))
            except MissingTool as why:
                missing.append(f"{contender.title}: {why}")
        yield ready, missing


async def measure(workload: Workload, cores: Cores, ready: list[Running], wishes: Wishes) -> Outcome:
    """Measure one workload. Rounds are interleaved: what the machine does beside us hits all alike."""
    outcome = Outcome(workload)
    taking_part = [one for one in ready if workload.stock or one.contender is not PEER_STOCK]
    wanted = wishes.rounds_of(workload)
    for number in range(wanted):
        if number and monotonic() > wishes.until:
            outcome.failures.append(f"{number} of {wanted} rounds: this machine is slow, or has other work to do.")
            break
        counted: dict[str, Counted] = {}
        turn = number % max(1, len(taking_part))
        for one in taking_part[turn:] + taking_part[:turn]:
            try:
                counted[one.contender.name] = await _slot(workload, cores, one, wishes)
            except LoadFailed as failed:
                outcome.failures.append(f"{one.contender.title}: {failed}")
        outcome.rounds.append(counted)
    return outcome


async def _slot(workload: Workload, cores: Cores, servers: Running, wishes: Wishes) -> Counted:
    ours = servers.contender is OURS
    crowd = workload.quick_crowd if wishes.quick and workload.quick_crowd else workload.crowd
    people = load_tool.people_file("load", crowd.lines(ours=ours, limit=workload.limit))
    options: dict[str, Any] = {
        "namespaces": "/,/chat" if workload.durable else "/,/chat,/bench",
        "people": people,
        "warm": 0.5 if wishes.quick else 1,
        "seconds": wishes.seconds if wishes.quick else max(wishes.seconds, workload.least_seconds),
    }
    options |= servers.options | workload.options
    if wishes.quick and "hold" in options:
        options["hold"] = 0  # pings come every 25 s: a shorter look would see none
    async with _beside(workload.beside, cores, servers, ours=ours):
        counted = await load_tool.run(cores, workload.mode, options)
    return counted | {"one": 1}


@asynccontextmanager
async def _beside(crowd: Crowd | None, cores: Cores, servers: Running, *, ours: bool) -> AsyncIterator[None]:
    """Have some people signed in for the length of a block."""
    if crowd is None:
        yield
        return
    people = load_tool.people_file("beside", crowd.lines(ours=ours, limit=BESIDE))
    options = {"people": people, "hold": BESIDE_SECONDS, "seconds": 0} | servers.options
    process = await load_tool.start(cores, "sockets", options)
    try:
        assert process.stderr is not None
        # It says so when everybody has signed in.
        async with asyncio.timeout(BESIDE_SECONDS):
            said = await process.stderr.readline()
        if not said.startswith(b"load: holding"):
            raise LoadFailed(said.decode(errors="replace"))
        yield
    finally:
        await load_tool.end(process)
