"""Becomes another program that never outlives the process that started it.

Run as a file by `process.spawn`: python -I -S launcher.py PARENT_PID LAST_SIGNAL ACCOUNT FOLDER PROGRAM ARGUMENTS…
Only the standard library is at hand. Doing this in a process of its own, not between fork and exec,
keeps it safe in a process that has threads.
"""

import ctypes
import os
import pwd
import signal
import sys
import time
from pathlib import Path

MYSELF = "myself"
NAMESPACE = "namespace"
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int, last_signal: int = signal.SIGTERM) -> None:
    """Have this process receive `last_signal` as soon as its parent is gone, however that ends."""
    if sys.platform == "linux":
        _system_call("prctl", PR_SET_PDEATHSIG, last_signal)
    else:
        leave_a_watchdog(parent_pid, last_signal)
    # A parent that died before the call above can no longer wake us, so this check comes after it.
    if os.getppid() != parent_pid:
        sys.exit("the process that started this one is gone")


def leave_a_watchdog(parent_pid: int, last_signal: int) -> None:
    """Do what PR_SET_PDEATHSIG does where the system cannot: a child of ours looks after the parent."""
    own_pid = os.getpid()
    if os.fork() != 0:
        return
    while os.getppid() == own_pid:
        if not is_alive(parent_pid):
            os.kill(own_pid, last_signal)
            break
        time.sleep(0.5)
    os._exit(0)


def is_alive(pid: int) -> bool:
    """Say whether a process exists, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def become(account: str) -> None:
    """Take on another identity: "myself", "namespace", or a "uid:gid" to switch to for good."""
    if account == NAMESPACE:
        # Files stay ours; only programs that look see an ordinary user, who must have a name.
        outside_uid, outside_gid = os.getuid(), os.getgid()
        inside = pwd.getpwnam("nobody")
        _system_call("unshare", CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{inside.pw_uid} {outside_uid} 1")
        Path("/proc/self/gid_map").write_text(f"{inside.pw_gid} {outside_gid} 1")
    elif account != MYSELF:
        uid, gid = map(int, account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _system_call(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library[name](*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def main() -> None:
    """Change identity, tie this process to its parent, and become the program."""
    parent_pid, last_signal, account, folder, *command = sys.argv[1:]
    become(account)
    # After `become`: a change of identity makes the kernel forget the signal.
    die_with_parent(int(parent_pid), int(last_signal))
    os.umask(0o077)
    os.chdir(folder)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
