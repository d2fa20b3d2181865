"""Decides under which account a server program runs, for PostgreSQL refuses to run as root."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

from server.embedded.errors import EmbeddedError
from server.embedded.launcher import MYSELF, NAMESPACE
from server.embedded.process import launch_command


def choose_account(folder: Path, program: Path) -> str:
    """Return the account to launch `program` with, and make `folder` belong to it.

    An ordinary user runs it plainly. Root keeps an owner the folder already has; otherwise root takes a
    user namespace, in which its files look like those of an ordinary user; otherwise the account nobody.
    """
    if os.geteuid() != 0:
        return MYSELF if _has_a_name(os.geteuid()) else NAMESPACE
    owner = folder.stat()
    if owner.st_uid != 0:
        return f"{owner.st_uid}:{owner.st_gid}"
    if sys.platform == "linux" and _can_run(NAMESPACE, folder, program):
        return NAMESPACE
    nobody = pwd.getpwnam("nobody")
    account = f"{nobody.pw_uid}:{nobody.pw_gid}"
    if _can_run(account, folder, program):
        _give(folder, nobody.pw_uid, nobody.pw_gid)
        return account
    raise EmbeddedError(
        f"PostgreSQL does not run as root, this machine grants root no user namespace, and the account nobody "
        f"cannot reach {folder} or {program.parent}: start as an ordinary user, move both to folders that "
        "everyone may enter, or set DATABASE_URL."
    )


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _can_run(account: str, folder: Path, program: Path) -> bool:
    attempt = [*launch_command(account, folder), str(program), "--version"]
    return subprocess.run(attempt, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603


def _give(folder: Path, uid: int, gid: int) -> None:
    for place, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(place, name), uid, gid, follow_symlinks=False)
