"""The load tool: compiled when it has changed, run on its own core."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.machine import BUILD, ROOT, Cores

SOURCES = ROOT / "bench" / "load"
PROGRAM = BUILD / "load"
COMPILERS = ("c++", "g++", "clang++")
MAX_SECONDS = 300


class MissingTool(Exception):
    """Something this machine lacks; the message says what to install."""


def compile_tool() -> None:
    """Bring build/bench/load up to date."""
    if sys.platform != "linux":
        raise MissingTool(
            "The load tool needs Linux: epoll to hold thousands of connections, /proc to see what they cost."
        )
    sources = sorted(SOURCES.glob("*.cpp"))
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > newest:
        return
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise MissingTool(
            "The load tool is C++17 and there is no compiler: install g++ or clang, or name one with CXX=…"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-o", str(PROGRAM), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)  # noqa: S603
    if done.returncode != 0:
        raise MissingTool(f"The load tool does not compile:\n{done.stderr[-3000:]}")


class LoadFailed(Exception):
    """The load tool gave up; the message is its own."""


async def start(cores: Cores, mode: str, options: dict[str, Any]) -> asyncio.subprocess.Process:
    """Start the load tool."""
    words = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = cores.pinned([str(PROGRAM), mode, *words], cores.load)
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=BUILD
    )


async def run(cores: Cores, mode: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run the load tool to its end and return what it counted."""
    process = await start(cores, mode, options)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            counted, said = await process.communicate()
    except BaseException:
        await end(process)
        raise
    if process.returncode != 0:
        raise LoadFailed(said.decode(errors="replace").strip()[-500:] or f"ended with {process.returncode}")
    return msgspec.json.decode(counted, type=dict[str, Any])


async def end(process: asyncio.subprocess.Process) -> None:
    """Stop a load tool that is still under way."""
    if process.returncode is None:
        process.terminate()
        await process.wait()


def people_file(name: str, lines: list[str]) -> Path:
    """Write who signs in; return the file."""
    path = BUILD / f"people-{name}.txt"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def forget_people() -> None:
    """Remove the files of people: they hold tokens."""
    for path in BUILD.glob("people-*.txt"):
        path.unlink()
