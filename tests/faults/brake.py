"""Makes a process slow, as a smaller machine would: python -m tests.faults.brake PID SHARE.

The process runs for that share of every period and stands still for the rest. So few clients are too many for it, and
this machine has time left for them.
"""

import os
import signal
import sys
import time
from contextlib import suppress

PERIOD = 0.02


def brake(pid: int, share: float) -> None:
    """Stop the process again and again, until it or whoever started us is gone."""
    parent = os.getppid()
    with suppress(ProcessLookupError):
        while os.getppid() == parent:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(PERIOD * (1 - share))
            os.kill(pid, signal.SIGCONT)
            time.sleep(PERIOD * share)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    target = int(sys.argv[1])
    try:
        brake(target, float(sys.argv[2]))
    finally:
        # What we have stopped must not stay so.
        with suppress(ProcessLookupError):
            os.kill(target, signal.SIGCONT)
