"""One connection to Redis that publishes and listens at once (RESP3), and comes back by itself.

redis-py is made for commands that are answered; a bus sends without waiting and hears without asking, thousands of
times a second. This link does only that, with hiredis for the protocol: what is published during a tick of the loop
leaves in one write, what arrives is taken in bulk.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis
import structlog

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 1.0
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0
SETTLED_SECONDS = 0.2
GRACE_SECONDS = 0.03
MAX_UNSENT_BYTES = 4 * 1024 * 1024
SUBSCRIBE_AT_ONCE = 500

_PING, _PONG = hiredis.pack_command((b"PING",)), b"PONG"

Hear = Callable[[bytes, bytes], None]


class RedisLink:
    """Publishes and listens on channels. At most once: while Redis is away, what is published is dropped."""

    def __init__(self, redis_url: str, hear: Hear, recovered: Callable[[], None]) -> None:
        self._url = urlsplit(redis_url)
        self._hear = hear
        self._recovered = recovered
        self._channels: set[bytes] = set()
        self._wire: _Wire | None = None
        self._up_once = asyncio.Event()
        self.dropped = 0

    @property
    def is_up(self) -> bool:
        return self._wire is not None and self._wire.ready.done()

    def send(self, *command: bytes) -> None:
        """Send a command whose answer nobody needs; dropped while Redis is away or does not take what we send."""
        if self._wire is None or not self.is_up or self._wire.unsent > MAX_UNSENT_BYTES:
            self.dropped += 1
            return
        self._wire.send(command)

    def subscribe(self, channel: bytes) -> None:
        """Listen on a channel, now and after every reconnect."""
        self._channels.add(channel)
        if self.is_up and self._wire is not None:
            self._wire.send((b"SUBSCRIBE", channel))

    def unsubscribe(self, channel: bytes) -> None:
        """Listen no more."""
        self._channels.discard(channel)
        if self.is_up and self._wire is not None:
            self._wire.send((b"UNSUBSCRIBE", channel))

    async def settled(self) -> None:
        """Wait until Redis has done what was sent so far; not for long, and not at all while it is away or hangs."""
        wire = self._wire
        if wire is None or not self.is_up or wire.hangs:
            return
        answered = wire.ask()
        await asyncio.wait([answered], timeout=SETTLED_SECONDS)
        if not answered.done():
            # It may be this process that stood still: timers come first, then what has arrived meanwhile is read.
            await asyncio.wait([answered], timeout=GRACE_SECONDS)
        if not answered.done():
            wire.hangs = True
            log.warning("redis_hangs")

    async def started(self) -> None:
        """Wait for the first connection, for a second at most."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._up_once.wait()
        except TimeoutError:
            log.warning("redis_not_there")

    def reset(self) -> None:
        """Give the connection up; `run` makes a new one."""
        if self._wire is not None:
            self._wire.abort()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        retry = FIRST_RETRY_SECONDS
        is_first = True
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    wire = await self._connect()
            except (OSError, TimeoutError, hiredis.HiredisError) as away:
                log.warning("redis_away", reason=type(away).__name__)
                await asyncio.sleep(retry * random.uniform(0.5, 1))
                retry = min(retry * 2, LONGEST_RETRY_SECONDS)
                continue
            retry = FIRST_RETRY_SECONDS
            if not is_first:
                log.info("redis_back", dropped=self.dropped)
                self._recovered()
            is_first = False
            try:
                await wire.closed
            finally:
                self._wire = None
                wire.finish()
            log.warning("redis_lost")

    async def _connect(self) -> _Wire:
        secure = self._url.scheme == "rediss" or None
        _, wire = await asyncio.get_running_loop().create_connection(
            lambda: _Wire(self._hear, self._recovered),
            self._url.hostname or "127.0.0.1",
            self._url.port or 6379,
            ssl=secure,
        )
        try:
            greeting = [b"HELLO", b"3"]
            if self._url.password:
                user, password = unquote(self._url.username or "") or "default", unquote(self._url.password)
                greeting += [b"AUTH", user.encode(), password.encode()]
            wire.send(tuple(greeting))
            await asyncio.shield(wire.ready)
            channels = list(self._channels)
            for start in range(0, len(channels), SUBSCRIBE_AT_ONCE):
                wire.send((b"SUBSCRIBE", *channels[start : start + SUBSCRIBE_AT_ONCE]))
        except BaseException:
            wire.abort()
            raise
        self._wire = wire
        self._up_once.set()
        return wire


class _Wire(asyncio.Protocol):
    """The connection itself."""

    def __init__(self, hear: Hear, recovered: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._hear = hear
        self._recovered = recovered
        self.hangs = False
        """Whether an answer is overdue. Nobody waits for the next one; when it comes, all may have missed something."""
        self._reader = hiredis.Reader()
        self._corked: list[bytes] = []
        self._pings: deque[asyncio.Future[None]] = deque()
        self._asked: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process because Redis does not take them."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def send(self, command: tuple[bytes, ...]) -> None:
        """Send with everything else of this tick."""
        if not self._corked:
            self._loop.call_soon(self._flush)
        self._corked.append(hiredis.pack_command(command))  # type: ignore[arg-type]

    def ask(self) -> asyncio.Future[None]:
        """Return what is done when everything sent in this tick is: Redis answers in order. One ask serves all of a tick."""
        if self._asked is None:
            self._asked = self._loop.create_future()
            if not self._corked:
                self._loop.call_soon(self._flush)
        return self._asked

    def finish(self) -> None:
        """Close after what was sent has left."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, though not by name

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._take(answer)
        except hiredis.HiredisError as broken:
            log.warning("redis_protocol_broken", reason=str(broken)[:100])
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionResetError("Redis closed the connection"))
            self.ready.exception()  # whoever waited may have given up; that is no error of its own
        if not self.closed.done():
            self.closed.set_result(None)
        self._end_pings()

    def _end_pings(self) -> None:
        """Let those go who wait for an answer that will not come."""
        while self._pings:
            answered = self._pings.popleft()
            if not answered.done():
                answered.set_result(None)

    def _take(self, answer: Any) -> None:
        if isinstance(answer, hiredis.PushNotification):
            if answer[0] == b"message":
                self._hear(answer[1], answer[2])
        elif isinstance(answer, hiredis.ReplyError):
            log.warning("redis_refused", reason=str(answer)[:100])
            if not self.ready.done():
                self.ready.set_exception(answer)
        elif not self.ready.done():
            self.ready.set_result(None)
        elif answer == _PONG:
            answered = self._pings.popleft()
            if not answered.done():
                answered.set_result(None)
            if self.hangs:
                self.hangs = False
                log.info("redis_answers")
                self._recovered()

    def _flush(self) -> None:
        packed, self._corked = self._corked, []
        asked, self._asked = self._asked, None
        if asked is not None:
            packed.append(_PING)
            self._pings.append(asked)
        if self._transport is None:
            self._end_pings()
        if packed and self._transport is not None:
            self._transport.write(b"".join(packed))
