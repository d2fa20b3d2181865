"""The one command: `make run` serves, refuses a second start, and takes everything with it when it is killed."""

import asyncio
import os
import shutil
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.databases import temporary_folder
from tests.embedded.processes import PROJECT, descendants, living, programs
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not on PATH")


@asynccontextmanager
async def make_run(data_dir: Path) -> AsyncIterator[Process]:
    """Start `make run` on a free port, in a group of its own; what is left of it afterwards is killed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HOME": str(data_dir), "DATA_DIR": str(data_dir), "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        "make", "run", cwd=PROJECT, env=environment, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        for pid in (process.pid, *descendants(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.communicate()


async def until_ready(process: Process) -> str:
    """Return the address that the server prints when it serves."""
    assert process.stdout
    async for line in process.stdout:
        if line.startswith(b"ready "):
            return line.decode().split()[1]
    assert process.stderr
    pytest.fail((await process.stderr.read()).decode())


async def test_kill_9_of_make_takes_the_server_and_its_databases_along() -> None:
    with temporary_folder() as folder:
        async with make_run(folder) as first:
            assert (await until_ready(first)).startswith("http://127.0.0.1:")
            family = descendants(first.pid)
            assert {"postgres", "valkey-server"} <= set(programs(family))
            first.kill()
            await eventually(lambda: not living(family), within=5)
        async with make_run(folder) as second:
            assert await until_ready(second)


async def test_a_second_make_run_in_one_folder_says_why_it_does_not_start() -> None:
    with temporary_folder() as folder:
        async with make_run(folder) as first:
            await until_ready(first)
            async with make_run(folder) as second:
                _, complaint = await asyncio.wait_for(second.communicate(), 30)
                assert second.returncode != 0
                assert b"already runs its databases in" in complaint
                assert b"Traceback" not in complaint
