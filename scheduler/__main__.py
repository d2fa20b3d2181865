"""`python -m scheduler`: the clock as a process of its own. Needs DATABASE_URL; any number may run."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from scheduler.clock import wound
from scheduler.jobs import JOBS
from server.core import db, logs
from server.core.config import Config, ConfigError, load


async def run(config: Config) -> None:
    """Knock until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with db.connected(config.database_url, size=2) as database:
        clock = wound(database, JOBS)
        clock.start()
        print(f"ready: {len(JOBS)} jobs", flush=True)  # noqa: T201
        await stop.wait()
        clock.shutdown(wait=False)


def main() -> int:
    """Run; return the exit code."""
    try:
        config = load()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if not config.database_url:
        print("DATABASE_URL: the scheduler works on the database of a running server", file=sys.stderr)  # noqa: T201
        return 1
    logs.configure(config.log_level, config.log_format)
    uvloop.run(run(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
