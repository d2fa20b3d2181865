"""The data folder: claimed by one process at a time, and the memory of ports and passwords."""

import fcntl
import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from server.embedded.errors import EmbeddedError

ADDRESS = "127.0.0.1"
PRIVATE = 0o600
LARGEST_LOG = 16 * 1024 * 1024
# Below the ports that systems hand out for outgoing connections, so that ours stays free between two runs.
PORTS = range(20000, 32000)


@dataclass(frozen=True)
class Endpoint:
    """A port on this machine and the password that opens it."""

    port: int
    password: str
    is_new: bool


@contextmanager
def claimed(data_dir: Path) -> Iterator[Path]:
    """Hold the data folder for this process and yield its full path; the system lets go when the process ends."""
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise EmbeddedError(
                f"Process {pid} already runs its databases in {data_dir}: stop it, choose another DATA_DIR, or start "
                f"a second instance on the same databases with DATABASE_URL and REDIS_URL as in "
                f"{data_dir / 'embedded.env'}, the first one's SECRET_KEY, and a PORT of its own."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield data_dir


@contextmanager
def opened_log(data_dir: Path, name: str) -> Iterator[BinaryIO]:
    """Open a log to append to; a large one makes room first, and one older log is kept."""
    path = data_dir / "log" / f"{name}.log"
    path.parent.mkdir(exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.rename(path.with_suffix(".log.1"))
    path.touch(mode=PRIVATE)
    with path.open("ab") as log:
        yield log


def endpoint(data_dir: Path, variable: str) -> Endpoint:
    """Return where a server shall answer: as last time, on another port if that one is taken now."""
    last = urlsplit(_addresses(data_dir).get(variable, ""))
    port = last.port if last.port and _is_free(last.port) else _free_port()
    return Endpoint(port, last.password or secrets.token_urlsafe(24), is_new=last.password is None)


def remember(data_dir: Path, variable: str, url: str) -> None:
    """Write an address down for the next start, and for a person who wants to connect."""
    addresses = _addresses(data_dir) | {variable: url}
    draft = data_dir / "embedded.env.new"
    draft.touch(mode=PRIVATE)
    draft.write_text("".join(f"{name}={address}\n" for name, address in addresses.items()))
    draft.rename(data_dir / "embedded.env")


def _addresses(data_dir: Path) -> dict[str, str]:
    path = data_dir / "embedded.env"
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: address for name, _, address in (line.partition("=") for line in lines)}


def _free_port() -> int:
    return next(port for port in random.sample(PORTS, 100) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are only fading away counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
