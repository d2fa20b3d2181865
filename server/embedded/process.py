"""Starts a child process, stops it, and starts it again when it dies unasked."""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from server.embedded.errors import EmbeddedError

logger = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launcher.py")
ATTEMPTS_AT_FIRST_START = 3
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
LONG_LIFE = 60.0


@dataclass(frozen=True)
class Surroundings:
    """What all children of one server share: who runs them, where, and where their words go."""

    account: str
    folder: Path
    log: BinaryIO


def launch_command(account: str, folder: Path, last_signal: int = signal.SIGTERM) -> list[str]:
    """Return the beginning of a command line; the program and its arguments come after it."""
    ours = [str(os.getpid()), str(int(last_signal)), account, str(folder)]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *ours]


async def spawn(
    command: list[str], around: Surroundings, *, standard_input: str = "", last_signal: int = signal.SIGTERM
) -> Process:
    """Start a program that gets `last_signal` when this process dies."""
    process = await asyncio.create_subprocess_exec(
        *launch_command(around.account, around.folder, last_signal),
        *command,
        stdin=PIPE if standard_input else DEVNULL,
        stdout=around.log,
        stderr=STDOUT,
        # Ctrl-C reaches every process of the terminal's group; our children end after us, in order.
        start_new_session=True,
        # Nothing of our own environment: it holds secrets.
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
    )
    if process.stdin:
        process.stdin.write(standard_input.encode())
        process.stdin.close()
    return process


async def run(command: list[str], around: Surroundings, *, standard_input: str = "") -> None:
    """Run a program to its end; a failure names the log that tells why."""
    process = await spawn(command, around, standard_input=standard_input, last_signal=signal.SIGKILL)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await stop(process, [signal.SIGKILL])
        raise
    if code != 0:
        raise EmbeddedError(f"{Path(command[0]).name} failed with code {code}; see {around.log.name}.")


async def stop(process: Process, signals: list[signal.Signals], patience: float = 10) -> None:
    """Ask a process to end with one signal after the other, each with its time to work; then insist."""
    for number in [*signals, signal.SIGKILL]:
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
            return


async def until_ready(
    process: Process, is_ready: Callable[[], Awaitable[bool]], around: Surroundings, within: float
) -> None:
    """Wait until a fresh process serves; end it when it does not, so that a failed start leaves nothing."""
    try:
        async with asyncio.timeout(within):
            while not await is_ready():
                if process.returncode is not None:
                    raise EmbeddedError(f"A server ended while starting; {around.log.name} says why.")
                await asyncio.sleep(0.01)
    except BaseException as error:
        await stop(process, [signal.SIGQUIT])
        if isinstance(error, TimeoutError):
            raise EmbeddedError(f"A server was not ready within {within:.0f} s; see {around.log.name}.") from error
        raise


@asynccontextmanager
async def kept_alive(
    name: str, start: Callable[[], Awaitable[Process]], stop_signals: list[signal.Signals]
) -> AsyncIterator[None]:
    """Keep a server running until the block ends; `start` returns a process that is ready."""
    process = await _start_patiently(name, start, ATTEMPTS_AT_FIRST_START)

    async def heal() -> None:
        nonlocal process
        now = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while True:
            started = now()
            code = await process.wait()
            # One that dies again and again, though it starts well, must not keep the machine busy.
            pause = FIRST_PAUSE if now() - started > LONG_LIFE else min(2 * pause, LONGEST_PAUSE)
            logger.warning("%s ended unexpectedly with code %s; starting it again in %.1f s", name, code, pause)
            await asyncio.sleep(pause)
            process = await _start_patiently(name, start)

    healing = asyncio.create_task(heal(), name=f"keep {name} alive")
    try:
        yield
    finally:
        healing.cancel()
        await asyncio.wait([healing])
        await stop(process, stop_signals)


async def _start_patiently(name: str, start: Callable[[], Awaitable[Process]], attempts: int | None = None) -> Process:
    """Start a server; pause and try again when it fails, for the one before may still be letting go."""
    pause = FIRST_PAUSE
    failures = 0
    while True:
        try:
            return await start()
        except (EmbeddedError, OSError) as error:
            failures += 1
            if failures == attempts:
                raise
            logger.warning("%s did not start (%s); next attempt in %.1f s", name, error, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
