"""A process that runs the embedded servers until somebody ends it: python -m tests.embedded.holder DATA_DIR."""

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from server import embedded


async def hold(data_dir: Path) -> None:
    """Print one line of JSON when the servers are ready, then wait for SIGTERM or Ctrl-C."""
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    async with embedded.servers(data_dir) as urls:
        sys.stdout.write(json.dumps(asdict(urls)) + "\n")
        sys.stdout.flush()
        await asked_to_end.wait()


if __name__ == "__main__":
    try:
        asyncio.run(hold(Path(sys.argv[1])))
    except embedded.EmbeddedError as error:
        sys.exit(str(error))
