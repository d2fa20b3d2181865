"""Starting: from nothing, again, twice, and on what an earlier start left behind."""

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from server import embedded
from server.embedded.account import choose_account
from server.embedded.binaries import postgres_programs
from server.embedded.process import launch_command
from tests.databases import temporary_folder
from tests.embedded.processes import answer
from tests.waiting import eventually


async def test_rows_ports_and_passwords_survive_a_restart() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder) as first:
            await answer(first.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
        async with embedded.servers(folder) as second:
            assert second == first
            assert await answer(second.database_url, "SELECT word FROM kept") == "a row"


async def test_both_servers_want_the_password_and_only_the_owner_may_read_it() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder) as urls:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(urls.database_url, password="guessed")
            async with Redis.from_url(urls.redis_url) as redis:
                assert await redis.ping()
            port = urlsplit(urls.redis_url).port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PING\r\n")
            assert (await reader.readline()).startswith(b"-NOAUTH")
            writer.close()
        assert stat.S_IMODE((folder / "embedded.env").stat().st_mode) == 0o600


async def test_a_commit_is_durable_and_statements_stay_out_of_the_log() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder, redis=False) as urls:
            assert urls.redis_url == ""
            for name, value in {"fsync": "on", "synchronous_commit": "on", "TimeZone": "UTC"}.items():
                assert await answer(urls.database_url, f"SHOW {name}") == value
            assert await answer(urls.database_url, "SELECT count(*) FROM pg_stat_statements") is not None
            with pytest.raises(asyncpg.DataError):
                await answer(urls.database_url, "SELECT 'my secret diary'::int")
        assert "secret" not in (folder / "log" / "postgres.log").read_text()


async def test_a_second_start_in_the_same_folder_is_told_what_to_do() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder, postgres=False):
            with pytest.raises(embedded.EmbeddedError) as refusal:
                async with embedded.servers(folder):
                    pass
        for hint in (f"Process {os.getpid()} ", str(folder), "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PORT"):
            assert hint in str(refusal.value)


async def test_nothing_asked_for_takes_no_folder() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder / "untouched", postgres=False, redis=False):
            assert not (folder / "untouched").exists()


async def test_a_start_that_broke_off_while_making_the_cluster_is_begun_again() -> None:
    with temporary_folder() as folder:
        remains = folder / "postgres" / "data.new"
        remains.mkdir(parents=True)
        (remains / "PG_VERSION").write_text("18\n")
        async with embedded.servers(folder, redis=False) as urls:
            assert await answer(urls.database_url, "SELECT 1") == 1


async def test_a_lost_password_is_replaced_and_the_rows_stay() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder, redis=False) as first:
            await answer(first.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
        (folder / "embedded.env").unlink()
        async with embedded.servers(folder, redis=False) as second:
            assert second.database_url != first.database_url
            assert await answer(second.database_url, "SELECT word FROM kept") == "a row"


async def test_a_port_that_somebody_else_took_is_left_to_them() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder, postgres=False) as first:
            port = urlsplit(first.redis_url).port
        with socket.create_server(("127.0.0.1", port or 0)):
            async with embedded.servers(folder, postgres=False) as second:
                assert urlsplit(second.redis_url).port != port
                assert urlsplit(second.redis_url).password == urlsplit(first.redis_url).password


async def test_a_postgres_left_running_in_the_folder_is_stopped_first() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder, redis=False) as first:
            await answer(first.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
        home, program = folder / "postgres", postgres_programs() / "postgres"
        leftover = await asyncio.create_subprocess_exec(
            *launch_command(choose_account(home, program), home),
            *(str(program), "-D", f"{home}/data", "-c", "unix_socket_directories=", "-p", "31999"),
            stderr=asyncio.subprocess.DEVNULL,
        )
        await eventually(lambda: "ready" in _text(home / "data" / "postmaster.pid"))
        async with embedded.servers(folder, redis=False) as second:
            assert await asyncio.wait_for(leftover.wait(), 5) == 0
            assert await answer(second.database_url, "SELECT word FROM kept") == "a row"


async def test_a_process_id_that_now_belongs_to_somebody_else_is_no_obstacle() -> None:
    with temporary_folder() as folder:
        async with embedded.servers(folder, redis=False) as first:
            await answer(first.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
        # What a crash of a container leaves: in the next one the same small number is another process.
        (folder / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder}/postgres/data\n")
        async with embedded.servers(folder, redis=False) as second:
            assert await answer(second.database_url, "SELECT word FROM kept") == "a row"


async def test_a_cluster_of_another_version_is_refused_by_name() -> None:
    with temporary_folder() as folder:
        cluster = folder / "postgres" / "data"
        cluster.mkdir(parents=True)
        (cluster / "PG_VERSION").write_text("14\n")
        with pytest.raises(embedded.EmbeddedError, match=r"was made by PostgreSQL 14, but .* holds \d+"):
            async with embedded.servers(folder, redis=False):
                pass


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_these_tests_run_where_processes_can_be_watched() -> None:
    assert sys.platform == "linux", "the tests in this folder read /proc"
