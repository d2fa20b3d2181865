"""`python -m server serve` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.embedded.processes import PROJECT, descendants

START_SECONDS = 60


class Served:
    """A server process that is ready."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    async def end(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds it took."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        self._process.send_signal(number)
        async with asyncio.timeout(30):
            return await self._process.wait(), loop.time() - asked

    @property
    def log(self) -> str:
        """What the process has said on standard error."""
        return self._log.read_text()


@asynccontextmanager
async def served(log: Path, **settings: str) -> AsyncIterator[Served]:
    """Start a server and wait until it is ready; what is left of it when the block ends is killed."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "serve"),
            cwd=PROJECT,
            env=known | {"PORT": "0", "PARENT_PID": str(os.getpid())} | settings,
            stdout=PIPE,
            stderr=output,
        )
    assert process.stdout
    try:
        line = b""
        async with asyncio.timeout(START_SECONDS):
            while not line.startswith(b"ready "):
                line = await process.stdout.readline()
                assert line, f"the server did not start: {log}"
        yield Served(process, line.decode().split()[1], log)
    finally:
        for pid in (process.pid, *descendants(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.communicate()


def addresses(data_dir: Path) -> dict[str, str]:
    """Return the settings with which a second instance joins the databases of a data folder."""
    lines = (data_dir / "embedded.env").read_text().splitlines()
    found = {name: address for name, _, address in (line.partition("=") for line in lines)}
    return found | {"SECRET_KEY": (data_dir / "secret_key").read_text().strip()}
