"""Clears away a PostgreSQL that an earlier process of ours left in the data folder."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGQUIT

from server.embedded.errors import EmbeddedError

PATIENCE = 10.0


def postmaster_file(cluster: Path) -> list[str]:
    """Return the lines PostgreSQL keeps while it runs: process id first, "ready" in the eighth."""
    try:
        return [line.strip() for line in (cluster / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


async def stop_leftover(cluster: Path) -> None:
    """Return when no PostgreSQL works in `cluster` any more, after asking one that still does to end."""
    lines = postmaster_file(cluster)
    if not lines:
        return
    postmaster = int(lines[0])
    for number in (SIGINT, SIGQUIT):
        if postmaster in _running_in(cluster):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(postmaster, number)
        if await _is_left(cluster):
            # PostgreSQL would believe the number in the file, which after a restart of a container, say, belongs
            # to somebody else. Only now, with the last process gone, is it safe to remove.
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            return
    raise EmbeddedError(
        f"PostgreSQL (process {postmaster}) still runs in {cluster} and cannot be stopped; end it first."
    )


async def _is_left(cluster: Path) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while _running_in(cluster):
                await asyncio.sleep(0.02)
            return True
    return False


def _running_in(cluster: Path) -> set[int]:
    """Return the processes of PostgreSQL that work in a cluster, those without a postmaster included."""
    if sys.platform != "linux":
        return _running_with_argument(cluster)
    found = set()
    for entry in Path("/proc").iterdir():
        # Processes come and go while we look, and some belong to others.
        with suppress(OSError):
            if (entry / "comm").read_text() == "postgres\n" and (entry / "cwd").readlink() == cluster:
                found.add(int(entry.name))
    return found


def _running_with_argument(cluster: Path) -> set[int]:
    asked = subprocess.run(["ps", "-ax", "-o", "pid=,command="], capture_output=True, text=True, check=False)  # noqa: S607
    lines = [line.split(maxsplit=1) for line in asked.stdout.splitlines()]
    return {int(pid) for pid, command in lines if f"postgres -D {cluster} " in command}
