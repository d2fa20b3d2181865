"""`python -m server …`: serve, migrate, config, seed-demo, schema, docs."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop

from server import demo, documents, embedded, schema
from server.adapters.passwords_argon2 import ArgonPasswords
from server.app import build, serving
from server.core import db, logs
from server.core.config import Config, ConfigError, describe, load, with_secret
from server.core.migrations import MigrationError, behind, migrate


async def serve(config: Config) -> None:
    """Serve until SIGTERM or Ctrl-C; brings its own databases when none are given."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    is_own = not config.database_url
    async with databases(config) as complete:
        if is_own:
            await migrate(complete.database_url)
            await seed_demo(complete)
        elif missing := await behind(complete.database_url):
            raise MigrationError(f"The database lacks {', '.join(missing)}: run `python -m server migrate` first.")
        async with build(complete) as app, serving(app, complete.host, complete.port) as port:
            if is_own:
                print(demo.welcome(), flush=True)  # noqa: T201
            print(f"ready http://{complete.host}:{port}", flush=True)  # noqa: T201
            await stop.wait()


async def run_migrate(config: Config) -> None:
    """Bring the database to the newest schema."""
    async with databases(config) as complete:
        applied = await migrate(complete.database_url)
        print("\n".join(applied) or "The schema is up to date.")  # noqa: T201


async def run_seed_demo(config: Config) -> None:
    """Load the demo people into the given database."""
    async with databases(config) as complete:
        await migrate(complete.database_url)
        await seed_demo(complete)
        print(demo.welcome())  # noqa: T201


async def seed_demo(config: Config) -> None:
    """Load the demo people, if they are not there."""
    passwords = ArgonPasswords()
    try:
        async with db.connected(config.database_url, size=2) as database:
            await demo.load(database, passwords)
    finally:
        passwords.close()


@asynccontextmanager
async def databases(config: Config) -> AsyncIterator[Config]:
    """Give the config its databases: the given ones, or our own for the length of a block."""
    config = with_secret(config)
    is_own = not config.database_url
    async with embedded.servers(config.data_dir, postgres=is_own, redis=is_own and not config.redis_url) as urls:
        yield msgspec.structs.replace(
            config,
            database_url=config.database_url or urls.database_url,
            redis_url=config.redis_url or urls.redis_url,
        )


def show_config(config: Config) -> None:
    """Print every setting with its value, secrets masked."""
    for name, value, meaning in describe(config):
        print(f"{name}={value}\n    {meaning}")  # noqa: T201


def make_docs(check: bool) -> int:
    """Write the generated pages, or with `check` only say which are stale."""
    found = documents.stale() if check else documents.write()
    for path in found:
        print(f"{path.name} {'is stale: run `make docs`' if check else 'written'}")  # noqa: T201
    return 1 if check and found else 0


COMMANDS: dict[str, Callable[[Config], Coroutine[Any, Any, None]]] = {
    "serve": serve,
    "migrate": run_migrate,
    "seed-demo": run_seed_demo,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m server", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve REST and sockets")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    commands.add_parser("config", help="print the settings that are in force, secrets masked")
    commands.add_parser("seed-demo", help="load the demo people into the given database")
    docs = commands.add_parser("docs", help="write the generated pages of docs/")
    docs.add_argument("--check", action="store_true", help="only say which pages are stale")
    commands.add_parser("schema", help="write sql/schema.sql from the migrations")
    given = parser.parse_args(arguments)
    if given.command == "docs":
        return make_docs(given.check)
    try:
        if given.command == "schema":
            schema.write()
            return 0
        config = load()
        if given.command == "config":
            show_config(config)
            return 0
        logs.configure(config.log_level, config.log_format)
        if config.parent_pid:
            embedded.die_with_parent(config.parent_pid)
        uvloop.run(COMMANDS[given.command](config))
    except (ConfigError, MigrationError, embedded.EmbeddedError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except ExceptionGroup as group:
        _, ours = group.split(OSError)
        if ours is not None:
            raise
        print(first_of(group), file=sys.stderr)  # noqa: T201
        return 1
    return 0


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group: a port that is taken, a database that is not there."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    sys.exit(main())
