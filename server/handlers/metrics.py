"""/metrics-prom: what this process does, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.core.metrics import SECONDS, Histogram, SocketCounts
from server.core.ports import Bus

PATH = "/metrics-prom"


class Source(Protocol):
    """What can be read at any moment."""

    @property
    def counts(self) -> SocketCounts: ...

    @property
    def connections(self) -> int: ...

    @property
    def unsent_bytes(self) -> int: ...

    @property
    def fan_out(self) -> Histogram: ...


class Sockets(Collector):
    """Reads the plain numbers of the sockets when Prometheus asks."""

    def __init__(self, source: Source, commits: Histogram, bus: Bus) -> None:
        self._source = source
        self._commits = commits
        self._bus = bus

    def collect(self) -> Iterator[Metric]:
        counts = self._source.counts
        yield _gauge("connections", "Open sockets.", self._source.connections)
        yield _gauge("unsent_bytes", "Bytes that wait for slow readers.", self._source.unsent_bytes)
        yield _gauge("tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))
        yield _gauge("bus_alive", "Whether messages reach other instances.", int(self._bus.is_alive))
        yield _counter("connections_opened", "Sockets opened.", counts.opened)
        yield _counter("commands", "Commands that clients sent.", counts.commands)
        yield _counter("packets_sent", "Packets written to sockets.", counts.packets_out)
        yield _counter("bytes_sent", "Bytes written to sockets.", counts.bytes_out)
        yield _by("refusals", "Commands over a limit.", "limit", counts.refusals.items())
        yield _by("shed", "Events left out for slow readers.", "class", counts.sheds.items())
        yield _by("ends", "Connections that ended.", "reason", counts.ends.items())
        yield _durations("fan_out_seconds", "From the first event of a tick to the last write.", self._source.fan_out)
        yield _durations("commit_seconds", "How long PostgreSQL takes to commit.", self._commits)


def exposition(sockets: Sockets) -> bytes:
    """Write everything in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(sockets)
    return generate_latest(registry)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fitsync_{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"fitsync_{name}", about, value)


def _by(name: str, about: str, label: str, values: Iterable[tuple[str, int]]) -> Metric:
    family = CounterMetricFamily(f"fitsync_{name}", about, labels=[label])
    for value, count in values:
        family.add_metric([value], count)
    return family


def _durations(name: str, about: str, histogram: Histogram) -> Metric:
    total = 0
    buckets = []
    for bound, count in zip((*map(str, SECONDS), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return HistogramMetricFamily(f"fitsync_{name}", about, buckets, histogram.total)


def mount(app: web.Application, sockets: Sockets) -> None:
    """Serve the metrics."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(sockets), headers={"Content-Type": "text/plain; version=0.0.4"})

    app.router.add_get(PATH, metrics)
