"""Ending: however the process ends, no server outlives it; however a server ends, it comes back."""

import asyncio
import os
import signal
import sys

import asyncpg
import pytest
from redis.asyncio import Redis

from server.embedded.launcher import die_with_parent
from tests.databases import temporary_folder
from tests.embedded.processes import PROJECT, answer, descendants, holder, living, programs
from tests.waiting import eventually


async def test_kill_9_leaves_no_server_and_the_next_start_finds_the_rows() -> None:
    with temporary_folder() as folder:
        async with holder(folder) as first:
            await answer(first.urls.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
            family = first.family()
            assert {"postgres", "valkey-server"} <= set(programs(family))
            first.process.kill()
            await first.process.wait()
            # At once, while PostgreSQL may still be closing down.
            async with holder(folder) as second:
                assert await answer(second.urls.database_url, "SELECT word FROM kept") == "a row"
            await eventually(lambda: not living(family), within=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_a_polite_end_leaves_no_server(number: signal.Signals) -> None:
    with temporary_folder() as folder:
        async with holder(folder) as held:
            family = held.family()
            # To the whole group, as a terminal does.
            os.killpg(held.process.pid, number)
            assert await asyncio.wait_for(held.process.wait(), 10) == 0
            assert not living(family)
        assert "database system is shut down" in (folder / "log" / "postgres.log").read_text()


async def test_a_server_that_crashes_comes_back_with_its_address_and_its_rows() -> None:
    with temporary_folder() as folder:
        async with holder(folder) as held:
            await answer(held.urls.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
            before = programs(held.family())
            os.kill(before["postgres"], signal.SIGKILL)
            os.kill(before["valkey-server"], signal.SIGKILL)

            async def healed() -> bool:
                now = programs(held.family())
                return all(now.get(name, before[name]) != before[name] for name in ("postgres", "valkey-server"))

            async def rows_are_back() -> bool:
                try:
                    return await answer(held.urls.database_url, "SELECT word FROM kept") == "a row"
                except (OSError, asyncpg.CannotConnectNowError):
                    return False

            await eventually(healed, within=20)
            await eventually(rows_are_back, within=20)
            async with Redis.from_url(held.urls.redis_url) as redis:
                assert await redis.ping()


CHILD = "from server.embedded.launcher import {name}; import os, signal; {name}(os.getppid(), signal.SIGTERM); {then}"
WAIT = "print(os.getpid(), flush=True); signal.pause()"


@pytest.mark.parametrize("name", ["die_with_parent", "leave_a_watchdog"])
async def test_a_process_ends_with_its_parent(name: str) -> None:
    child = CHILD.format(name=name, then=WAIT)
    # The shell is the parent: "; :" keeps it from becoming the child.
    parent = await asyncio.create_subprocess_exec(
        *("sh", "-c", '"$0" -c "$1"; :', sys.executable, child), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    assert await parent.stdout.readline()
    family = descendants(parent.pid)
    assert living(family)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not living(family), within=5)


def test_a_process_whose_parent_is_gone_already_does_not_go_on() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(os.getpid())
        except SystemExit:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
