"""Server processes as in production, each on its own roads to PostgreSQL and Redis, which can be cut and blocked.

async with running_cluster(2) as cluster:
    cluster.instances[0].to_redis.block()
    await cluster.instances[1].kill()
    cluster.crash_postgres()
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg
import msgspec

from server import embedded
from server.core import db
from server.core.db import Database
from server.core.migrations import migrate
from server.core.tokens import Tokens
from tests.databases import temporary_folder
from tests.given import Given
from tests.proxy import Proxy, proxied
from tests.servers import SECRET
from tests.waiting import eventually

PROJECT = Path(__file__).parents[2]
# A few clients stand for many: what one of them may do in a while is no fault to be tested here.
NO_LIMITS = dict.fromkeys(
    ("COMMANDS_PER_MINUTE", "COMMANDS_BURST", "MESSAGES_PER_SECOND", "MESSAGES_BURST", "SYNCS_PER_MINUTE"), "60000"
) | {"MAX_CONNECTIONS_PER_USER": "100"}
START_SECONDS = 30
END_SECONDS = 30


class Instance:
    """One `python -m server serve`. It takes a new port with every start, as a new container has a new address."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.url = ""
        self.log = log
        self._environment = environment
        self._process: Process | None = None
        self._read_up_to = 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "server", "serve"), cwd=PROJECT, env=self._environment, stdout=PIPE, stderr=log
            )
        assert self._process.stdout
        async with asyncio.timeout(START_SECONDS):
            line = (await self._process.stdout.readline()).decode()
        assert line.startswith("ready "), f"{self.name} did not start: {line}{self.log.read_text()[-2000:]}"
        self.url = line.removeprefix("ready ").strip()

    async def kill(self) -> None:
        """End the process without a warning, as kill -9 and power cuts do."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> tuple[float, int]:
        """End the process in good order; return the seconds it took and its exit code."""
        asked = time.monotonic()
        code = await self._end(signal.SIGTERM)
        return time.monotonic() - asked, code

    @asynccontextmanager
    async def slowed_to(self, share: float) -> AsyncIterator[None]:
        """Let the process have only a share of a processor for the length of a block."""
        command = (sys.executable, "-m", "tests.faults.brake", str(self.pid), str(share))
        brake = await asyncio.create_subprocess_exec(*command, cwd=PROJECT)
        try:
            yield
        finally:
            brake.terminate()
            await brake.wait()

    async def _end(self, number: signal.Signals) -> int:
        assert self._process
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        async with asyncio.timeout(END_SECONDS):
            return await self._process.wait()

    def memory(self) -> int:
        """Return the bytes of memory that the process occupies."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        """Return how many files and sockets the process holds."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def errors(self) -> list[str]:
        """List what the process has logged as an error since this was last asked."""
        found = []
        with self.log.open("rb") as log:
            log.seek(self._read_up_to)
            lines = log.read().splitlines()
            self._read_up_to = log.tell()
        for line in lines:
            with suppress(msgspec.MsgspecError):
                entry = msgspec.json.decode(line)
                if entry.get("level") in {"error", "critical"}:
                    found.append(f"{self.name}: {entry.get('event')} {str(entry.get('exception', ''))[-300:]}")
        return found


@dataclass
class Roads:
    """The roads of one instance to its databases."""

    to_postgres: Proxy
    to_redis: Proxy

    def repair(self) -> None:
        """Let everything pass again."""
        for road in (self.to_postgres, self.to_redis):
            road.refuses, road.delay = False, 0.0
            road.unblock()


@dataclass
class Cluster:
    """Instances that share a PostgreSQL and a Redis."""

    folder: Path
    database_url: str
    http: aiohttp.ClientSession
    given: Given
    instances: list[Instance] = field(default_factory=list)
    roads: list[Roads] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Where the instances were last seen; some may be down, as behind every balancer."""
        return [instance.url for instance in self.instances]

    async def whole(self) -> None:
        """Repair all roads, start what is down, and wait until everything is ready."""
        for roads in self.roads:
            roads.repair()
        await asyncio.gather(*(instance.start() for instance in self.instances if not instance.is_running))
        await eventually(self.postgres_accepts, within=30)
        for instance in self.instances:
            instance.errors()  # of the test before
            await eventually(partial(self._is_ready, instance), within=30)

    def crash_postgres(self) -> None:
        """Stop PostgreSQL at once, without a checkpoint; it recovers and starts again by itself."""
        pid = int((self.folder / "postgres/data/postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)

    def errors(self) -> list[str]:
        """List what the instances have logged as errors since they were whole."""
        return [error for instance in self.instances for error in instance.errors()]

    async def postgres_accepts(self) -> bool:
        """Whether PostgreSQL can be connected to, on a road that no fault touches."""
        try:
            connection = await asyncpg.connect(self.database_url, timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    async def gauges(self, instance: Instance) -> dict[str, float]:
        """Read the metrics of an instance that are one number each, by name."""
        async with self.http.get(f"{instance.url}/metrics-prom") as answer:
            lines = (await answer.text()).splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines if line.count(" ") == 1)}

    async def _is_ready(self, instance: Instance) -> bool:
        """Whether an instance serves, and hears the others."""
        try:
            async with self.http.get(f"{instance.url}/ready") as answer:
                return answer.status == 200 and (await self.gauges(instance))["fitsync_bus_alive"] == 1
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def running_cluster(size: int, *, roads: bool = True, **settings: str) -> AsyncIterator[Cluster]:
    """Run instances on databases of their own for the length of a block; without roads they connect directly."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        urls = await stack.enter_async_context(embedded.servers(folder, durable=True))
        await migrate(urls.database_url)
        database: Database = await stack.enter_async_context(db.connected(urls.database_url, size=4))
        http = await stack.enter_async_context(_http())
        cluster = Cluster(folder, urls.database_url, http, Given(database, Tokens((SECRET,))))
        for number in range(size):
            given = urls
            if roads:
                to_postgres = await stack.enter_async_context(proxied(urls.database_url))
                to_redis = await stack.enter_async_context(proxied(urls.redis_url))
                cluster.roads.append(Roads(to_postgres, to_redis))
                given = embedded.Urls(to_postgres.url, to_redis.url)
            environment = os.environ | {
                "DATABASE_URL": given.database_url,
                "REDIS_URL": given.redis_url,
                "SECRET_KEY": SECRET,
                "PORT": "0",
                "PARENT_PID": str(os.getpid()),
                "LOG_LEVEL": "warning",
                "LOG_FORMAT": "json",
                **NO_LIMITS,
                **settings,
            }
            cluster.instances.append(Instance(f"instance {number}", environment, folder / f"instance{number}.log"))
        stack.push_async_callback(_end, cluster)
        await cluster.whole()
        yield cluster


@asynccontextmanager
async def _http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield http


async def _end(cluster: Cluster) -> None:
    for instance in cluster.instances:
        if instance.is_running:
            await instance.kill()
