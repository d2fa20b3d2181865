"""Counting without slowing down: plain numbers on the hot path, read when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """How often a duration was in which range. The last range has no upper end."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class SocketCounts:
    """What the sockets of this process have done since it started."""

    opened: int = 0
    commands: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    sheds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
