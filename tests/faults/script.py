"""What goes wrong and when: faults at given numbers of acked messages, chosen by the seed of the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple

from tests.faults.history import History
from tests.waiting import eventually

PATIENCE = 120


class Fault(NamedTuple):
    """After so many acks, this happens to that instance; some faults happen to all."""

    after: int
    kind: str
    victim: int


def a_script(chance: Random, budget: int, kinds: dict[str, int], instances: int) -> list[Fault]:
    """Spread so many faults of each kind over the first nine tenths of a run, in an order of chance."""
    wanted = [kind for kind, number in kinds.items() for _ in range(number)]
    chance.shuffle(wanted)
    step = budget * 0.9 / (len(wanted) + 1)
    return [
        Fault(round(step * (place + chance.uniform(0.7, 1.3))), kind, chance.randrange(instances))
        for place, kind in enumerate(wanted, 1)
    ]


async def play(script: list[Fault], history: History, do: Callable[[Fault], Awaitable[None]]) -> None:
    """Let every fault happen at its time."""
    for fault in script:
        await eventually(lambda: history.acknowledged >= fault.after, PATIENCE)  # noqa: B023 - awaited at once
        await do(fault)
