"""A light Socket.IO client that keeps a person's conversations true by the client rule of docs/realtime.md alone.

`seq` = last + 1 is applied, ≤ last dropped, greater: `sync` that topic. `sync.tick` and every reconnect do the same.
It reconnects with the delays of the official clients, to any of the addresses it is given.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import aiohttp
import msgspec

Json = dict[str, Any]

PATH = "/socket.io/?EIO=4&transport=websocket"
FIRST_DELAY, LONGEST_DELAY, JITTER = 1.0, 5.0, 0.5
ACK_SECONDS = 10.0
EARLY_AT_MOST = 1000

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class LostError(Exception):
    """The connection is gone, and with it the answer."""


class RefusedError(Exception):
    """The server has answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["code"])
        self.code: str = error["code"]
        self.retryable: bool = error.get("retryable", False)
        self.retry_after: float = error.get("retry_after_ms", 1000) / 1000


class Client:
    """One device. `run` lives until cancelled or until the server says not to come back."""

    def __init__(
        self, http: aiohttp.ClientSession, addresses: Callable[[], Sequence[str]], token: str, chance: Random
    ) -> None:
        self.token = token
        self.shown: dict[str, list[tuple[int, str]]] = {}
        """By topic: the seq and the id of every message, as the device shows them."""
        self.last: dict[str, int] = {}
        self.heard: list[tuple[float, str, Json]] = []
        """Events other than messages: when they came, their names and their data."""
        self.message_at = 0.0
        """When the last message came in."""
        self.whole = asyncio.Event()
        """Set while connected and caught up after connecting."""
        self.whole_at = 0.0
        self.lost_at = 0.0
        self.url = ""
        self.ended = ""
        """Why the server does not want to see this device again."""
        self.connects = self.syncs = 0
        self._http = http
        self._addresses = addresses
        self._chance = chance
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._acks: dict[int, asyncio.Future[Json]] = {}
        self._ack_ids = itertools.count(1)
        self._early: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._heads: dict[str, int] = {}
        self._all_wanted = False
        self._wanted = asyncio.Event()
        self._delay: float | None = None

    async def run(self) -> None:
        """Stay connected."""
        failures = 0
        while not self.ended:
            before = self.connects
            with suppress(LostError, aiohttp.ClientError, OSError, TimeoutError):
                await self._live()
            if self.ended:
                return
            failures = 0 if self.connects > before else failures + 1
            delay, self._delay = self._delay, None
            await asyncio.sleep(self._stock_delay(failures) if delay is None else delay)

    async def call(self, command: str, body: Json, namespace: str = "/", patience: float = ACK_SECONDS) -> Any:
        """Say a command; return its data. Raises RefusedError, LostError or TimeoutError."""
        if self._socket is None or self._socket.closed:
            raise LostError
        ack_id = next(self._ack_ids)
        self._acks[ack_id] = answered = asyncio.get_running_loop().create_future()
        place = "" if namespace == "/" else f"{namespace},"
        try:
            async with asyncio.timeout(patience):
                await self._say(f"42{place}{ack_id}{_encode([command, body]).decode()}")
                ack = await answered
        finally:
            self._acks.pop(ack_id, None)
        if not ack["ok"]:
            raise RefusedError(ack["error"])
        return ack["data"]

    def drop(self) -> None:
        """Lose the connection without a goodbye."""
        if self._socket is not None and (transport := self._socket.get_extra_info("socket")) is not None:
            transport.shutdown(2)

    def _stock_delay(self, failures: int) -> float:
        """Return the pause of the official clients: 1 s, doubled up to 5 s, half of it more or less by chance."""
        delay: float = min(FIRST_DELAY * 2**failures, LONGEST_DELAY)
        return min(delay * self._chance.uniform(1 - JITTER, 1 + JITTER), LONGEST_DELAY)

    async def _live(self) -> None:
        """Connect, catch up and listen until the connection is lost."""
        socket = await self._connect()
        try:
            self._socket = socket
            hello = _decode((await self._frame(socket, 10))[1:])
            silence = (hello["pingInterval"] + hello["pingTimeout"]) / 1000
            await self._say(f"40{_encode({'token': self.token, 'protocol': 1}).decode()}")
            async with asyncio.TaskGroup() as tasks:
                syncing = tasks.create_task(self._keep_whole())
                with suppress(LostError, aiohttp.ClientError, OSError, TimeoutError):
                    while not self.ended:
                        await self._take(await self._frame(socket, silence))
                syncing.cancel()
        finally:
            if self.whole.is_set():
                self.lost_at = asyncio.get_running_loop().time()
            self.whole.clear()
            self._socket = None
            self._wanted.clear()
            for answered in self._acks.values():
                if not answered.done():
                    answered.set_exception(LostError())
            # No goodbye: the other side has gone, or is not to wait for us.
            if (transport := socket.get_extra_info("socket")) is not None and transport.fileno() >= 0:
                transport.shutdown(2)
            await socket.close()

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        """Take any address that answers, in an order of chance, as a balancer does."""
        addresses = list(self._addresses())
        self._chance.shuffle(addresses)
        failure: Exception = LostError()
        for url in addresses:
            try:
                socket = await self._http.ws_connect(f"{url}{PATH}", max_msg_size=0)
            except (aiohttp.ClientError, OSError) as refused:
                failure = refused
                continue
            self.url = url
            return socket
        raise failure

    async def _frame(self, socket: aiohttp.ClientWebSocketResponse, silence: float) -> str:
        frame = await socket.receive(silence)
        if frame.type is not aiohttp.WSMsgType.TEXT:
            raise LostError
        return str(frame.data)

    async def _say(self, text: str) -> None:
        if self._socket is None or self._socket.closed:
            raise LostError
        try:
            await self._socket.send_str(text)
        except (OSError, aiohttp.ClientError) as gone:
            raise LostError from gone

    async def _take(self, packet: str) -> None:
        """Take one packet of the server."""
        match packet[:2]:
            case "42" | "43":
                self._take_event_or_ack(packet)
            case "2":
                await self._say("3")
            case "40" if packet.startswith("40/chat"):
                self.connects += 1
                self._all_wanted = True
                self._wanted.set()
            case "40":
                await self._say("40/chat,")
            case "44":
                refusal = _decode(packet[packet.index("{") :])["data"]
                if not refusal["retryable"]:
                    self.ended = refusal["code"]
                raise LostError
            case "1" | "41":
                raise LostError

    def _take_event_or_ack(self, packet: str) -> None:
        start = packet.index("[")
        arguments = _decode(packet[start:])
        if packet[1] == "3":
            answered = self._acks.get(int(packet[2:start].rpartition(",")[2]))
            if answered is not None and not answered.done():
                answered.set_result(arguments[0])
            return
        name, envelope = arguments
        now = asyncio.get_running_loop().time()
        if name == "message.created":
            self.message_at = now
            self._apply(envelope["topic"], envelope["seq"], envelope["data"]["id"])
            return
        said = envelope["data"]
        self.heard.append((now, name, said))
        match name:
            case "sync.tick":
                for topic, head in said["heads"].items():
                    self._expect(topic, head)
            case "conversation.changed":
                self._expect(f"conversation:{said['conversation']['id']}", said["conversation"]["last_seq"])
            case "session.closing":
                self._delay = said["retry_after_ms"] / 1000
                if not said["reconnect"]:
                    self.ended = said["code"]

    def _apply(self, topic: str, seq: int, message_id: str) -> None:
        """The client rule."""
        last = self.last.setdefault(topic, 0)
        if seq <= last:
            return
        early = self._early[topic]
        if seq > last + 1:
            if len(early) < EARLY_AT_MOST:
                early[seq] = message_id  # applied as soon as it is next
            self._expect(topic, seq)
            return
        shown = self.shown.setdefault(topic, [])
        shown.append((seq, message_id))
        while next_id := early.pop(seq + 1, None):
            seq += 1
            shown.append((seq, next_id))
        self.last[topic] = seq

    def _expect(self, topic: str, head: int) -> None:
        if head > self.last.setdefault(topic, 0):
            self._heads[topic] = max(head, self._heads.get(topic, 0))
            self._wanted.set()

    def _behind(self) -> list[str]:
        """List the topics to ask for; an answer that came in between may have made all of it needless."""
        if self._all_wanted:
            return list(self.last)
        return [topic for topic, head in self._heads.items() if head > self.last.get(topic, 0)]

    async def _keep_whole(self) -> None:
        """Ask for what is missing, one question at a time: all topics after connecting, later those with a gap."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            behind = self._behind()
            if behind or self._all_wanted:
                try:
                    answer = await self.call("sync", {"cursors": {topic: self.last[topic] for topic in behind}})
                except LostError:
                    return
                except (RefusedError, TimeoutError) as refused:
                    self._wanted.set()
                    await asyncio.sleep(getattr(refused, "retry_after", 0))
                    continue
                self.syncs += 1
                self._all_wanted = False
                self._take_sync(answer)
            if not self.whole.is_set() and not self._behind():
                self.whole_at = asyncio.get_running_loop().time()
                self.whole.set()

    def _take_sync(self, answer: Json) -> None:
        for topic, found in answer["topics"].items():
            if found.get("reset"):
                self._begin_again(topic, found)
                continue
            for envelope in found.get("events", ()):
                self._apply(topic, envelope["seq"], envelope["data"]["id"])
            if found.get("more"):
                self._expect(topic, self.last[topic] + 1)
        for conversation in answer["conversations"]:
            self._expect(f"conversation:{conversation['id']}", conversation["last_seq"])

    def _begin_again(self, topic: str, found: Json) -> None:
        self._early.pop(topic, None)
        if found["snapshot"] is None:
            for known in (self.shown, self.last, self._heads):
                known.pop(topic, None)
            return
        messages = found["snapshot"]["messages"]
        self.shown[topic] = [(message["seq"], message["id"]) for message in messages]
        self.last[topic] = found["seq"]
