"""`python -m bench`: measure FitSync beside Node socket.io and stock python-socketio, on the same work, in one go."""

from __future__ import annotations

import argparse
import asyncio
import sys
from itertools import groupby
from time import monotonic

from bench import load_tool, machine, report, servers
from bench.load_tool import MissingTool
from bench.runs import Outcome, Wishes, measure, serving
from bench.servers import OURS, PEER_NODE, PEER_STOCK, Contender
from bench.stage import prepared
from bench.workloads import WORKLOADS, Workload
from server.embedded import EmbeddedError


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201


async def run(
    workloads: list[Workload], contenders: list[Contender], wishes: Wishes
) -> tuple[list[Outcome], dict[str, str]]:
    """Measure and print one workload after the other."""
    cores = machine.divide_cores()
    crowds = {crowd.number: crowd for workload in workloads for crowd in workload.crowds()}
    async with prepared(list(crowds.values())) as stage:
        described = machine.describe(cores, stage.postgres_version)
        say("\n".join(f"{name}: {said}" for name, said in described.items()))
        outcomes: list[Outcome] = []
        for _, alike in groupby(workloads, lambda one: (one.durable, one.instances, one.fresh and one.name)):
            together = list(alike)
            async with serving(together[0], cores, stage, contenders) as (ready, missing):
                for workload in together:
                    outcome = await measure(workload, cores, ready, wishes)
                    outcome.failures += missing
                    outcomes.append(outcome)
                    say(report.text(outcome))
                    report.save(outcomes, described)
    return outcomes, described


def chosen(only: str) -> list[Workload]:
    """Return the workloads whose name or group is among the words; without words all of them."""
    words = {word for word in only.split(",") if word}
    return [one for one in WORKLOADS if not words or one.name in words or one.group in words]


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="workloads or groups, comma-separated")
    parser.add_argument("--without", default="", metavar="NAMES", help="contenders to leave out: node, stock")
    parser.add_argument("--seconds", type=float, help="measured time of one turn (default 3)")
    parser.add_argument("--rounds", type=int, help="turns of each contender (default 3)")
    parser.add_argument("--minutes", type=float, default=15, help="after them one turn of the rest (default 15)")
    parser.add_argument("--quick", action="store_true", help="one short turn each, fewer connections")
    parser.add_argument("--list", action="store_true", help="only list the workloads")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md, whatever was measured")
    given = parser.parse_args()
    workloads = chosen(given.only)
    if given.list or not workloads:
        say("\n".join(f"{one.name:<16} {one.group:<10} {one.title}" for one in WORKLOADS))
        return 0 if given.list else 2
    seconds = given.seconds or (1 if given.quick else 3)
    wishes = Wishes(seconds, given.rounds or 3, given.quick, monotonic() + given.minutes * 60)
    contenders = [one for one in (OURS, PEER_NODE, PEER_STOCK) if one.name not in given.without.split(",")]
    try:
        load_tool.compile_tool()
        if PEER_NODE in contenders:
            contenders = with_node(contenders)
        outcomes, described = asyncio.run(run(workloads, contenders, wishes))
    except (MissingTool, EmbeddedError) as missing:
        print(missing, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        load_tool.forget_people()
    say(f"\nEverything that was counted: {report.RESULTS.relative_to(machine.ROOT)}")
    if given.page or not (given.only or given.without or given.quick):
        report.PAGE.write_text(report.page(outcomes, described), encoding="utf-8")
        say(f"Written: {report.PAGE.relative_to(machine.ROOT)}")
    return 0


def with_node(contenders: list[Contender]) -> list[Contender]:
    """Return the contenders with Node when it can be had, and say why when it cannot."""
    try:
        servers.install_node()
    except MissingTool as missing:
        say(str(missing))
        return [one for one in contenders if one is not PEER_NODE]
    return contenders


if __name__ == "__main__":
    sys.exit(main())
