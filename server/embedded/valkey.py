"""Our own Valkey: fan-out between instances and a cache. It keeps nothing, PostgreSQL holds the truth."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM

from server.embedded.binaries import valkey_program
from server.embedded.folder import ADDRESS, Endpoint, endpoint, opened_log, remember
from server.embedded.launcher import MYSELF
from server.embedded.process import Surroundings, kept_alive, spawn, until_ready

SETTINGS = """\
bind {address}
port {port}
requirepass {password}
dir {folder}
save ""
appendonly no
daemonize no
"""


@asynccontextmanager
async def running_valkey(data_dir: Path) -> AsyncIterator[str]:
    """Run Valkey and yield its URL."""
    program = valkey_program()
    place = endpoint(data_dir, "REDIS_URL")
    url = f"redis://:{place.password}@{ADDRESS}:{place.port}/0"
    remember(data_dir, "REDIS_URL", url)
    with opened_log(data_dir, "valkey") as log:
        around = Surroundings(MYSELF, data_dir, log)

        async def start() -> Process:
            return await _start(program, around, place)

        async with kept_alive("Valkey", start, [SIGTERM]):
            yield url


async def _start(program: Path, around: Surroundings, place: Endpoint) -> Process:
    # The settings come by standard input, so that the password stands in no file and on no command line.
    settings = SETTINGS.format(address=ADDRESS, port=place.port, password=place.password, folder=f'"{around.folder}"')
    process = await spawn([str(program), "-"], around, standard_input=settings)

    async def is_ready() -> bool:
        return await _answers(place)

    await until_ready(process, is_ready, around, within=10)
    return process


async def _answers(place: Endpoint) -> bool:
    """Sign in and ping; only our own server knows the password."""
    try:
        reader, writer = await asyncio.open_connection(ADDRESS, place.port)
    except OSError:
        return False
    writer.write(f"AUTH {place.password}\r\nPING\r\nQUIT\r\n".encode())
    try:
        return await reader.read() == b"+OK\r\n+PONG\r\n+OK\r\n"
    except OSError:
        return False
    finally:
        writer.close()
