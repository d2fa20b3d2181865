"""Messages between instances over one Redis channel. At most once; what is lost heals by seq.

Publishing never waits for Redis: messages queue up to a bound and leave in pipelines. While Redis is away they are
dropped, and counted in the log.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from redis import asyncio as redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

CHANNEL = "fitsync:live"
QUEUE = 10_000
PIPELINE = 500
PUBLISH_SECONDS = 0.25
RETRY_SECONDS = 0.5
ALIVE_SECONDS = 0.25
_DIGEST = 16
_INSTANCE = 16


class RedisBus:
    """The `Bus` port. Each message is signed: whoever can write to Redis cannot speak for us."""

    has_others = True

    def __init__(self, client: redis.Redis, instance: bytes, secret: str) -> None:
        self._client = client
        self._instance = instance
        self._key = hmac.digest(secret.encode(), b"fitsync bus", "sha256")
        self._queue: deque[tuple[str, bytes]] = deque(maxlen=QUEUE)
        self._wanted = asyncio.Event()

    def publish(self, message: bytes) -> None:
        """Hand a message to all other instances; never waits."""
        body = self._instance + message
        self._queue.append((CHANNEL, hmac.digest(self._key, body, "sha256")[:_DIGEST] + body))
        self._wanted.set()

    def announce(self, channel: str, message: bytes) -> None:
        """Let other programs hear a fact on a channel of its own; never waits."""
        self._queue.append((channel, message))
        self._wanted.set()

    async def is_alive(self) -> bool:
        """Whether Redis answers at once."""
        try:
            async with asyncio.timeout(ALIVE_SECONDS):
                return bool(await self._client.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def run_publisher(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(PIPELINE, len(self._queue)))]
                try:
                    async with asyncio.timeout(PUBLISH_SECONDS), self._client.pipeline(transaction=False) as pipeline:
                        for channel, message in batch:
                            pipeline.execute_command("PUBLISH", channel, message)
                        await pipeline.execute()
                except (RedisError, OSError, TimeoutError) as away:
                    log.warning("bus_dropped", count=len(batch), reason=type(away).__name__)

    async def run_listener(self, receive: Callable[[bytes], None], ready: asyncio.Event) -> None:
        """Take in the messages of other instances, until cancelled; come back when Redis was away."""
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    async for message in channel.listen():
                        if message["type"] == "subscribe":
                            ready.set()
                        elif message["type"] == "message":
                            self._take(message["data"], receive)
            except (RedisError, OSError) as away:
                log.warning("bus_away", reason=type(away).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    def _take(self, raw: bytes, receive: Callable[[bytes], None]) -> None:
        digest, body = raw[:_DIGEST], raw[_DIGEST:]
        if not hmac.compare_digest(digest, hmac.digest(self._key, body, "sha256")[:_DIGEST]):
            log.warning("bus_forged")
            return
        if body[:_INSTANCE] == self._instance:
            return
        try:
            receive(body[_INSTANCE:])
        except ValueError as unknown:
            # Another release speaks words we do not know yet: its clients hear them, ours catch up by seq.
            log.info("bus_unknown_message", reason=str(unknown)[:100])


@asynccontextmanager
async def connected(redis_url: str) -> AsyncIterator[redis.Redis]:
    """Open a client for the length of a block."""
    client = redis.from_url(redis_url, socket_connect_timeout=1.0)
    try:
        yield client
    finally:
        await client.aclose()
