"""Messages between instances over Redis: each topic is a channel, so an instance hears only what its clients watch.

At most once: what is lost heals by seq. Nothing here ever waits for Redis; after an outage `recovered` tells the hub to
say how far every topic has come.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

import msgspec
import structlog

from server.adapters.redis_link import RedisLink

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
DEAF_SECONDS = 5.0
_DIGEST = 16
_INSTANCE = 16
_BATCH: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])


class RedisBus:
    """The `Bus` port. Each publication is signed: whoever can write to Redis cannot speak for us."""

    has_others = True

    def __init__(self, redis_url: str, instance: bytes, secret: str) -> None:
        self.receive: Callable[[bytes], None] = lambda _: None
        self.recovered: Callable[[], None] = lambda: None
        self._instance = instance
        self._key = hmac.digest(secret.encode(), b"fitsync bus", "sha256")
        self._outgoing: dict[str, list[bytes]] = {}
        self._link = RedisLink(redis_url, self._hear, self._back)
        self._beat_channel = b"fitsync:beat:" + instance.hex().encode()
        self._heard_at = 0.0
        self._link.subscribe(self._beat_channel)

    def publish(self, topic: str, message: bytes) -> None:
        """Hand a message to the other instances that hear a topic; leaves with all others of this tick."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.setdefault(topic, []).append(message)

    def hear(self, topic: str) -> None:
        """Receive what others publish on a topic."""
        self._link.subscribe(_channel(topic))

    def forget(self, topic: str) -> None:
        """Receive it no more."""
        self._link.unsubscribe(_channel(topic))

    def announce(self, channel: str, message: bytes) -> None:
        """Let other programs hear a fact on a channel of its own."""
        self._link.send(b"PUBLISH", channel.encode(), message)

    async def started(self) -> None:
        """Wait until Redis is there and hears us, for a second at most; we can do without."""
        await self._link.started()
        await self._link.settled()

    async def settled(self) -> None:
        """Wait until Redis has taken every `hear` so far, a quarter of a second at most: it may be away."""
        await self._link.settled()

    @property
    def is_alive(self) -> bool:
        """Whether Redis is connected and we hear ourselves."""
        return self._link.is_up and asyncio.get_running_loop().time() - self._heard_at < DEAF_SECONDS

    async def run(self) -> None:
        """Stay connected, and make sure that we hear: a listener can be deaf without knowing it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._link.run())
            tasks.create_task(self._beat())

    async def _beat(self) -> None:
        clock = asyncio.get_running_loop().time
        deaf_since = clock()
        while True:
            if not self._link.is_up:
                deaf_since = clock()
            elif clock() - max(self._heard_at, deaf_since) > DEAF_SECONDS:
                log.warning("bus_deaf")
                self._link.reset()
            self._link.send(b"PUBLISH", self._beat_channel, b"")
            await asyncio.sleep(BEAT_SECONDS if self.is_alive else 0.1)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, {}
        for topic, messages in outgoing.items():
            body = self._instance + msgspec.msgpack.encode(messages)
            self._link.send(b"PUBLISH", _channel(topic), self._sign(topic, body) + body)

    def _hear(self, channel: bytes, raw: bytes) -> None:
        if channel == self._beat_channel:
            self._heard_at = asyncio.get_running_loop().time()
            return
        digest, body = raw[:_DIGEST], raw[_DIGEST:]
        if body[:_INSTANCE] == self._instance:
            return
        if not hmac.compare_digest(digest, self._sign(channel.decode().removeprefix(_PREFIX), body)):
            log.warning("bus_forged")
            return
        for message in _BATCH.decode(body[_INSTANCE:]):
            self.receive(message)

    def _back(self) -> None:
        self.recovered()

    def _sign(self, topic: str, body: bytes) -> bytes:
        """Sign a publication for its topic: replayed elsewhere it is worth nothing."""
        return hmac.digest(self._key, topic.encode() + b"\0" + body, "sha256")[:_DIGEST]


_PREFIX = "fitsync:"


def _channel(topic: str) -> bytes:
    return (_PREFIX + topic).encode()
