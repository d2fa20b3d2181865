"""What is measured: the work, the figures read from it, and the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.crowds import Crowd

Counted = dict[str, Any]
Reading = Callable[[Counted], float | None]


@dataclass(frozen=True)
class Figure:
    """One figure. `target` is what its ratio to Node must reach: at least where more is better, at most where less is."""

    title: str
    read: Reading
    more: bool | None = None  # None: a count that wants no ratio
    target: float | None = None
    digits: int = 0
    most: float | None = None  # what our own figure may be at most


@dataclass(frozen=True)
class Workload:
    """One piece of work that every contender does in turn."""

    name: str
    group: str
    title: str
    crowd: Crowd
    figures: tuple[Figure, ...]
    durable: bool = False
    instances: int = 1
    mode: str = "sockets"
    stock: bool = True
    beside: Crowd | None = None  # people who are signed in all the while and say nothing
    limit: int | None = None
    fresh: bool = False  # wants servers that have done nothing yet
    rounds: int | None = None
    least_seconds: float = 0
    quick_crowd: Crowd | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def crowds(self) -> list[Crowd]:
        """List everybody who must be in the database."""
        return [crowd for crowd in (self.crowd, self.quick_crowd, self.beside) if crowd is not None]


def _per(above: str, below: str, times: float = 1.0) -> Reading:
    return lambda counted: times * counted[above] / counted[below] if counted.get(below) else None


def _of(name: str, part: str) -> Reading:
    return lambda counted: counted[name][part] if counted[name]["count"] else None


def _count(name: str) -> Reading:
    return lambda counted: counted.get(name)


PER_CPU = "deliveries per CPU second"
PER_CPU_SECOND = _per("deliveries", "run_cpu")
CPU_EACH = _per("run_cpu", "deliveries", 1e6)
RATE = _per("deliveries", "run_seconds")
ACK_P99 = Figure("ack p99, ms", _of("ack_ms", "p99"), more=False, digits=1)
DELIVERY_P99 = Figure("delivery p99, ms", _of("delivery_ms", "p99"), more=False, digits=1)
WHOLE = (
    Figure("lost", _count("lost"), most=0),
    Figure("twice", _count("duplicates"), most=0),
    Figure("out of order", _count("reordered"), most=0),
)
# Members of a room: who they are, how many messages each sender has under way, the target.
MEMBERS = {
    2: (Crowd(1, rooms=100, size=2, senders=2), 4, 2),
    10: (Crowd(2, rooms=20, size=10, senders=2), 4, 4),
    100: (Crowd(3, rooms=2, size=100, senders=20), 4, 10),
    1000: (Crowd(4, rooms=1, size=1000, senders=40), 2, 12),
}
OPEN = Crowd(5, rooms=10, size=100, senders=10)
IDLE = Crowd(6, rooms=1000, size=10)
IDLE_QUICK = Crowd(7, rooms=100, size=10)
CONNECTING = Crowd(8, rooms=200, size=10)
SPREAD = Crowd(9, rooms=41, size=10, senders=2)  # odd: neighbours in a room are then on different instances
PAIRS = Crowd(10, rooms=250, size=2, senders=2)
TENS = Crowd(11, rooms=50, size=10, senders=2)
STALLED = Crowd(12, rooms=1, size=10, senders=2, stalled=1)

WORKLOADS = (
    *(
        Workload(
            f"fanout-{size}",
            "fanout",
            f"Fan-out, rooms of {size:,}, saturated",
            crowd,
            (
                Figure(PER_CPU, PER_CPU_SECOND, more=True, target=target),
                Figure("deliveries per second", RATE, more=True),
                DELIVERY_P99,
                *WHOLE,
            ),
            options={"window": window},
        )
        for size, (crowd, window, target) in MEMBERS.items()
    ),
    Workload(
        "open-100",
        "open",
        "Fan-out, 20,000 deliveries/s in rooms of 100",
        OPEN,
        (
            Figure("CPU per delivery, µs", CPU_EACH, more=False, target=0.65, digits=1),
            Figure("delivery p99, ms", _of("delivery_ms", "p99"), more=False, target=1, digits=1),
            Figure("delivery p50, ms", _of("delivery_ms", "p50"), more=False, digits=1),
            *WHOLE,
        ),
        options={"rate": 200},
    ),
    Workload(
        "stalled",
        "stalled",
        "A room of 10 in which one has stopped reading, 1,000 messages/s of 2,000 letters",
        STALLED,
        (
            Figure("delivery p99 of the others, ms", _of("delivery_ms", "p99"), more=False, digits=1),
            Figure("growth of the server, MB", _per("growth_kb", "one", 1 / 1024), digits=1),
            Figure("stalled readers cut off", _count("stalled_closed")),
            Figure("…after, s", _per("stalled_closed_after", "stalled_closed"), digits=1),
            *WHOLE,
        ),
        rounds=2,
        least_seconds=6,
        options={"rate": 1000, "text": 2000},
    ),
    Workload(
        "idle",
        "idle",
        "10,000 connections, 5,000 deliveries/s among them in rooms of 10",
        IDLE,
        (
            Figure("KB of memory per connection", _per("connect_kb", "connects"), more=False, digits=1, most=8),
            Figure(
                "CPU of pings, % of a core", _per("hold_cpu", "hold_seconds", 100), more=False, target=0.5, digits=1
            ),
            Figure("delivery p99, ms", _of("delivery_ms", "p99"), more=False, target=0.1, digits=1),
            Figure("CPU per delivery, µs", CPU_EACH, more=False, digits=1),
            Figure("CPU per disconnect, µs", _per("leave_cpu", "left", 1e6), more=False, target=1),
            *WHOLE,
        ),
        fresh=True,
        rounds=1,
        quick_crowd=IDLE_QUICK,
        options={"rate": 500, "hold": 27, "baseline": 500},
    ),
    Workload(
        "instances-10",
        "instances",
        "Two instances over Redis, rooms of 10, saturated",
        SPREAD,
        (
            Figure("deliveries per second", RATE, more=True, target=5),
            Figure(PER_CPU, PER_CPU_SECOND, more=True),
            DELIVERY_P99,
            *WHOLE,
        ),
        instances=2,
        options={"window": 4, "orders": "instance"},
    ),
    Workload(
        "instances-open",
        "instances",
        "Two instances over Redis, rooms of 10, 5,000 deliveries/s",
        SPREAD,
        (
            Figure("CPU per delivery, µs", CPU_EACH, more=False, target=0.6, digits=1),
            Figure("delivery p99, ms", _of("delivery_ms", "p99"), more=False, target=0.6, digits=1),
            *WHOLE,
        ),
        instances=2,
        options={"rate": 500, "orders": "instance"},
    ),
    Workload(
        "connects",
        "connects",
        "Sign-in: JWT, `/` and `/chat`, rooms joined",
        CONNECTING,
        (
            Figure("connects per second", _per("connects", "connect_seconds"), more=True, target=1.5),
            Figure("CPU per connect, µs", _per("connect_cpu", "connects", 1e6), more=False),
            Figure("connect p99, ms", _of("connect_ms", "p99"), more=False, digits=1),
        ),
        durable=True,
        options={"baseline": 200, "seconds": 0},
    ),
    *(
        Workload(
            f"durable-{name}",
            "durable",
            f"Durable sends, {title}, saturated",
            crowd,
            (
                Figure("messages per second", _per("acked_measured", "run_seconds"), more=True, target=3),
                Figure("CPU per message, µs", _per("run_cpu", "acked_measured", 1e6), more=False),
                ACK_P99,
                *WHOLE,
            ),
            durable=True,
            options={"window": window},
        )
        for name, title, crowd, window in (("pairs", "pairs", PAIRS, 2), ("10", "rooms of 10", TENS, 4))
    ),
    Workload(
        "durable-open",
        "durable",
        "Durable sends, pairs, 1,500 messages/s",
        PAIRS,
        (
            Figure("ack p50, ms", _of("ack_ms", "p50"), more=False, target=1.3, digits=1),
            Figure("ack p99, ms", _of("ack_ms", "p99"), more=False, target=0.3, digits=1),
            DELIVERY_P99,
            Figure("CPU per message, µs", _per("run_cpu", "acked_measured", 1e6), more=False),
            *WHOLE,
        ),
        durable=True,
        options={"rate": 1500},
    ),
    *(
        Workload(
            f"rest-{name}",
            "rest",
            title,
            PAIRS,
            (
                Figure("requests per second", _per("requests", "run_seconds"), more=True, target=0.9),
                Figure("CPU per request, µs", _per("run_cpu", "requests", 1e6), more=False),
                Figure("p95, ms", _of("answer_ms", "p95"), more=False, digits=1),
                Figure("errors", _count("errors"), most=0),
            ),
            durable=True,
            mode="http",
            stock=False,
            limit=64,
            options=options,
        )
        for name, title, options in (
            ("get", "REST: one's own profile", {"method": "GET", "request": "/api/v1/users/me"}),
            (
                "post",
                "REST: send a message",
                {"method": "POST", "request": "/api/v1/conversations/{conversation}/messages"},
            ),
        )
    ),
    Workload(
        "rest-beside",
        "rest",
        "REST: one's own profile, 500 requests/s beside 1,000 sockets",
        PAIRS,
        (
            Figure("p95, ms", _of("answer_ms", "p95"), more=False, digits=1, most=200),
            Figure("p50, ms", _of("answer_ms", "p50"), more=False, digits=1),
            Figure("errors", _count("errors"), most=0),
        ),
        durable=True,
        mode="http",
        stock=False,
        limit=64,
        beside=CONNECTING,
        options={"method": "GET", "request": "/api/v1/users/me", "rate": 500},
    ),
)
