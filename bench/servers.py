"""Who is compared, and how each is started: on the servers' core, with the same database and the same Redis."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.crowds import PEER_SECRET, SECRET_KEY
from bench.load_tool import MissingTool
from bench.machine import BUILD, ROOT, Cores
from server.embedded.launcher import MYSELF
from server.embedded.process import launch_command

NODE = ROOT / "bench" / "peers" / "node"
START_SECONDS = 30
STOP_SECONDS = 15
INSTALL_SECONDS = 300

# The limits stay on, but what is right for one person would be all that is measured.
PLENTY = "1000000000"
LIMITS = (
    "COMMANDS_PER_MINUTE",
    "COMMANDS_BURST",
    "MESSAGES_PER_SECOND",
    "MESSAGES_BURST",
)
GENEROUS = dict.fromkeys(LIMITS, PLENTY) | {"LOG_LEVEL": "warning"}


@dataclass(frozen=True)
class Contender:
    """One of those who are compared."""

    name: str
    title: str


OURS = Contender("ours", "FitSync")
PEER_NODE = Contender("node", "Node socket.io")
PEER_STOCK = Contender("stock", "python-socketio")


@dataclass(frozen=True)
class Running:
    """A contender's servers, ready."""

    contender: Contender
    ports: list[int]
    pids: list[int]

    @property
    def options(self) -> dict[str, str]:
        """What the load tool must know of them."""
        return {"ports": ",".join(map(str, self.ports)), "pids": ",".join(map(str, self.pids))}


def install_node() -> None:
    """Fetch Node's packages as its lock file says; MissingTool when this machine cannot."""
    if shutil.which("node") is None or (npm := shutil.which("npm")) is None:
        raise MissingTool("Node socket.io is left out: install Node 20 or newer, with npm, to compare with it.")
    installed = NODE / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= (NODE / "package-lock.json").stat().st_mtime:
        return
    command = [npm, "ci", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(  # noqa: S603
        command, cwd=NODE, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode != 0:
        raise MissingTool(f"Node socket.io is left out: npm could not fetch it.\n{done.stderr[-1000:]}")


def _command(contender: Contender, durable: bool) -> list[str]:
    if contender is PEER_NODE:
        return [shutil.which("node") or "node", str(NODE / "server.js")]
    if contender is PEER_STOCK:
        return [sys.executable, "-m", "bench.peers.stock"]
    return [sys.executable, "-m", "server", "serve"] if durable else [sys.executable, "-m", "bench.fanout_app"]


def _environment(contender: Contender, database_url: str, redis_url: str) -> dict[str, str]:
    # Nothing else of ours: DATABASE_URL and the like may stand in the caller's environment.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    place = {"PORT": "0", "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    if contender is OURS:
        return kept | place | GENEROUS | {"SECRET_KEY": SECRET_KEY, "DATA_DIR": str(BUILD / "var")}
    return kept | place | {"JWT_SECRET": PEER_SECRET, "NODE_ENV": "production"}


@asynccontextmanager
async def running(
    cores: Cores, contender: Contender, database_url: str, redis_url: str, *, durable: bool, instances: int
) -> AsyncIterator[Running]:
    """Run a contender's servers for the length of a block."""
    (BUILD / "log").mkdir(parents=True, exist_ok=True)
    environment = _environment(contender, database_url, redis_url if instances > 1 else "")
    command = cores.pinned(_command(contender, durable), cores.server)
    command[0] = shutil.which(command[0]) or command[0]
    ports, pids = [], []
    async with AsyncExitStack() as stack:
        for number in range(instances):
            log = BUILD / "log" / f"{contender.name}-{number + 1}.log"
            port, pid = await stack.enter_async_context(_server(command, environment, log))
            ports.append(port)
            pids.append(pid)
        yield Running(contender, ports, pids)


@asynccontextmanager
async def _server(command: list[str], environment: dict[str, str], log: Path) -> AsyncIterator[tuple[int, int]]:
    with log.open("wb") as output:
        # The launcher ties the server to us: it ends when we do, however that ends.
        process = await asyncio.create_subprocess_exec(
            *launch_command(MYSELF, ROOT, signal.SIGTERM),
            *command,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield await _port(process, log), process.pid
    finally:
        await _stop(process)


async def _port(process: asyncio.subprocess.Process, log: Path) -> int:
    async with asyncio.timeout(START_SECONDS):
        while True:
            lines = _lines(log)
            for line in lines:
                if line.startswith("ready http://"):
                    return int(line.rsplit(":", 1)[1])
            if process.returncode is not None:
                raise MissingTool(f"A server did not start; the end of {log.name}:\n" + "\n".join(lines[-15:]))
            await asyncio.sleep(0.05)


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
