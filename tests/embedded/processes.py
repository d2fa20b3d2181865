"""Starts a holder in a process of its own, and looks at processes from outside."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from server.embedded import Urls

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Holder:
    """A running holder, its addresses, and the processes it started."""

    process: Process
    urls: Urls

    def family(self) -> set[int]:
        """Return the process ids of the servers and of everything below them."""
        return descendants(self.process.pid)


class HolderFailedError(Exception):
    """The holder ended instead of getting ready; the text is what it said."""


@asynccontextmanager
async def holder(
    data_dir: Path, command: list[str] | None = None, environment: dict[str, str] | None = None
) -> AsyncIterator[Holder]:
    """Run a holder on a data folder; whatever is left of it afterwards is killed."""
    process = await asyncio.create_subprocess_exec(
        *(command or [sys.executable]),
        *("-m", "tests.embedded.holder", str(data_dir)),
        cwd=PROJECT,
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout
        assert process.stderr
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        if not line:
            raise HolderFailedError((await process.stderr.read()).decode())
        yield Holder(process, Urls(**json.loads(line)))
    finally:
        for pid in (process.pid, *descendants(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()


def descendants(ancestor: int) -> set[int]:
    """Return all processes below one, found by their parents."""
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


def living(pids: set[int]) -> set[int]:
    """Return those that still run; what only waits to be collected by its parent does not."""
    return {pid for pid in pids if _state(Path("/proc", str(pid))) not in {"", "Z", "X"}}


def programs(pids: set[int]) -> dict[str, int]:
    """Return the server programs among these processes by name, each with the process that started the others."""
    found: dict[str, int] = {}
    for pid in sorted(pids, reverse=True):
        with suppress(OSError):
            found[Path(f"/proc/{pid}/comm").read_text().strip()] = pid
    return found


async def answer(database_url: str, question: str) -> object:
    """Ask a database one question on a connection of its own."""
    connection = await asyncpg.connect(database_url, timeout=5)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def _status(entry: Path) -> list[str]:
    # The name, in parentheses, may hold blanks; what follows it does not.
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["", "0"]


def _state(entry: Path) -> str:
    return _status(entry)[0]


def _parent(entry: Path) -> int:
    return int(_status(entry)[1])
