"""A road to a server that a test can cut, close, slow down and block: real TCP, whatever runs over it.

async with proxied(server.url) as road:
    ...  # connect to road.url instead of server.url
    road.cut()
"""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

PIECE = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Carries bytes both ways between its own port and a server."""

    def __init__(self, target: str) -> None:
        there = urlsplit(target)
        assert there.hostname
        assert there.port
        self._there = (there.hostname, there.port)
        self._target = target
        self._writers: set[StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.url = ""
        self.delay = 0.0
        """Seconds that every piece waits on its way, in each direction."""
        self.refuses = False
        """Whether new connections are reset at once."""
        self.accepted = 0
        """How many connections came in, refused ones too."""

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        for writer in self._writers:
            _reset(writer)
        self._writers.clear()

    def block(self) -> None:
        """Let nothing through any more, and say nothing about it: a dead network, not a closed one."""
        self._open.clear()

    def unblock(self) -> None:
        """Let through what was held back, and everything after it."""
        self._open.set()

    def listens_on(self, port: int) -> None:
        """Give out the server's own URL, user and path included, with the proxy's port in it."""
        there = urlsplit(self._target)
        signed_in, at, _ = there.netloc.rpartition("@")
        self.url = there._replace(netloc=f"{signed_in}{at}127.0.0.1:{port}").geturl()

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        this = asyncio.current_task()
        assert this
        self._carrying.add(this)
        this.add_done_callback(self._carrying.discard)
        self.accepted += 1
        try:
            if self.refuses:
                raise ConnectionRefusedError
            there_reader, there_writer = await asyncio.open_connection(*self._there)
        except OSError:
            _reset(writer)
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(reader, there_writer, both))
                ways.create_task(self._pump(there_reader, writer, both))
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _pump(self, reader: StreamReader, writer: StreamWriter, both: set[StreamWriter]) -> None:
        try:
            while piece := await reader.read(PIECE):
                await asyncio.sleep(self.delay)
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
            await self._open.wait()
            writer.write_eof()
        except OSError:
            # One side is gone without a goodbye: the other is told in the same way.
            for one in both:
                _reset(one)

    async def end(self) -> None:
        """Cut what is open and wait until nothing is carried any more."""
        self.cut()
        self.unblock()
        await asyncio.gather(*self._carrying, return_exceptions=True)


@asynccontextmanager
async def proxied(target: str) -> AsyncIterator[Proxy]:
    """Open a road to the server behind a URL for the length of a block."""
    proxy = Proxy(target)
    listener = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.listens_on(listener.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
        await listener.wait_closed()


def _reset(writer: StreamWriter) -> None:
    """Close with RST instead of FIN, as a machine does that has forgotten the connection."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
