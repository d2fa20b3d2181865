"""Our own PostgreSQL: made once, started in a second, stopped with us, and never run twice on one folder."""

import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGINT, SIGQUIT

import asyncpg

from server.embedded.account import choose_account
from server.embedded.binaries import major_version, postgres_programs
from server.embedded.errors import EmbeddedError
from server.embedded.folder import ADDRESS, PRIVATE, Endpoint, endpoint, opened_log, remember
from server.embedded.leftover import postmaster_file, stop_leftover
from server.embedded.process import Surroundings, kept_alive, run, spawn, until_ready

NAME = "fitsync"
FIRST_WITH_BUILTIN_LOCALES = 17

SETTINGS = {
    "listen_addresses": ADDRESS,
    # TCP only: a socket file would need a path of at most 107 bytes and its own rights.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    # Statements and errors carry what people wrote. Whoever sent them gets the error; the log does not.
    "log_statement": "none",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_timezone": "UTC",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on"}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@asynccontextmanager
async def running_postgres(data_dir: Path, durable: bool) -> AsyncIterator[str]:
    """Run PostgreSQL in `data_dir`/postgres and yield the URL of its database."""
    programs = postgres_programs()
    home = data_dir / "postgres"
    home.mkdir(exist_ok=True)
    cluster = home / "data"
    with opened_log(data_dir, "postgres") as log:
        around = Surroundings(choose_account(home, programs / "postgres"), home, log)
        _check_version(programs, cluster)
        await stop_leftover(cluster)  # before its port and its files are looked at
        place = endpoint(data_dir, "DATABASE_URL")
        url = f"postgresql://{NAME}:{place.password}@{ADDRESS}:{place.port}/{NAME}"
        if not cluster.exists():
            await _create_cluster(programs, around, place)
        elif place.is_new:
            await _set_password(programs, around, place)
        remember(data_dir, "DATABASE_URL", url)

        async def start() -> Process:
            return await _start(programs, around, place, durable)

        # SIGINT ends it in good order, SIGQUIT at once; committed work survives either.
        async with kept_alive("PostgreSQL", start, [SIGINT, SIGQUIT]):
            await _ensure_database(url)
            yield url


async def _create_cluster(programs: Path, around: Surroundings, place: Endpoint) -> None:
    """Make a cluster under another name first: a start that breaks off must not look like a finished one."""
    draft = around.folder / "data.new"
    password_file = around.folder / "password"
    shutil.rmtree(draft, ignore_errors=True)
    password_file.touch(mode=PRIVATE)
    password_file.write_text(place.password)
    owner = around.folder.stat()
    os.chown(password_file, owner.st_uid, owner.st_gid)
    builtin = major_version(programs / "postgres") >= FIRST_WITH_BUILTIN_LOCALES
    locale = "C.UTF-8" if builtin or sys.platform == "linux" else "en_US.UTF-8"
    try:
        command = [f"{programs}/initdb", f"--pgdata={draft}", f"--username={NAME}", f"--pwfile={password_file}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", f"--locale={locale}", "--no-instructions"]
        command += ["--locale-provider=builtin"] if builtin else []
        await run(command, around)
    finally:
        password_file.unlink()
    draft.rename(around.folder / "data")
    _sync(around.folder)


async def _set_password(programs: Path, around: Surroundings, place: Endpoint) -> None:
    """Open a cluster whose password is lost: single-user mode asks for none."""
    command = [f"{programs}/postgres", "--single", "-D", f"{around.folder}/data", "postgres"]
    await run(command, around, standard_input=f"ALTER ROLE {NAME} PASSWORD '{place.password}'\n")


async def _start(programs: Path, around: Surroundings, place: Endpoint, durable: bool) -> Process:
    cluster = around.folder / "data"
    settings = SETTINGS | (DURABLE if durable else FORGETFUL) | {"port": str(place.port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [f"{programs}/postgres", "-D", str(cluster), *options]
    # Also when healing: the children of a postmaster that was killed need a moment to notice.
    await stop_leftover(cluster)
    process = await spawn(command, around, last_signal=SIGINT)

    async def is_ready() -> bool:
        # A file that another postmaster left behind also says "ready", hence the look at the process id.
        lines = postmaster_file(cluster)
        return lines[:1] == [str(process.pid)] and lines[7:8] == ["ready"]

    # Long, because a start after a crash replays what the log holds.
    await until_ready(process, is_ready, around, within=120)
    return process


async def _ensure_database(url: str) -> None:
    """Connect the way the server will; on the very first start the database is not there yet."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except asyncpg.InvalidCatalogNameError:
        first = await asyncpg.connect(url, database="postgres", timeout=10)
        await first.execute(f"CREATE DATABASE {NAME}")
        await first.close()
        connection = await asyncpg.connect(url, timeout=10)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    await connection.close()


def _check_version(programs: Path, cluster: Path) -> None:
    """Refuse a cluster of another major version before the program does it in the log, where nobody looks."""
    made_by = cluster / "PG_VERSION"
    if made_by.exists() and (there := int(made_by.read_text())) != (found := major_version(programs / "postgres")):
        raise EmbeddedError(
            f"{cluster} was made by PostgreSQL {there}, but {programs} holds {found}: install PostgreSQL {there}, "
            "or export the data with it and choose another DATA_DIR."
        )


def _sync(folder: Path) -> None:
    """Make a rename last: initdb has synced the files, not the name they now stand under."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
