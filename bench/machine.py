"""The machine: which core does what, and how it is described without naming it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"


@dataclass(frozen=True)
class Cores:
    """Servers have a core of their own, and so has the load tool; the databases take what is left, or join the latter."""

    server: int | None
    load: int | None
    rest: frozenset[int]

    def pinned(self, command: list[str], core: int | None) -> list[str]:
        """Return a command line that stays on one core."""
        taskset = shutil.which("taskset")
        return command if core is None or taskset is None else [taskset, "-c", str(core), *command]


def divide_cores() -> Cores:
    """Choose the cores and move this process, and so the databases it will start, out of the servers' way."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None, frozenset())
    free = sorted(os.sched_getaffinity(0))
    if len(free) == 1 or shutil.which("taskset") is None:
        return Cores(None, None, frozenset(free))
    server, load, *rest = free
    cores = Cores(server, load, frozenset(rest or [load]))
    os.sched_setaffinity(0, cores.rest)
    return cores


def describe(cores: Cores, postgres: str) -> dict[str, str]:
    """Say what was measured on, in words that fit any machine of its kind."""
    pinned = "servers on one core, the load tool on another, the databases " + (
        "beside the load tool" if cores.load in cores.rest else "on the rest"
    )
    return {
        "CPU": f"{os.cpu_count()} × {_cpu_model()}",
        "Cores": pinned if cores.server is not None else "not divided: taskset, or a second core, is missing",
        "System": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "Python": platform.python_version(),
        "Node": version_of("node") or "not installed",
        "PostgreSQL": postgres,
    }


def version_of(program: str) -> str:
    """Return what a program says to --version; empty when there is none."""
    found = shutil.which(program)
    if found is None:
        return ""
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    return said.stdout.strip().removeprefix("v")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
