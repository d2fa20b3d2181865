"""Engine.IO 4 over one websocket: the opening packet, pings, and what is a message."""

from __future__ import annotations

import asyncio
import random
import secrets
from abc import abstractmethod

import msgspec
import structlog

from server.core.metrics import SocketCounts
from server.realtime.cork import Cork
from server.realtime.formats import BadPacket
from server.realtime.frames import NORMAL, POLICY, TEXT, frame
from server.realtime.websocket import WebSocket
from server.realtime.wheel import Wheel

log = structlog.get_logger(__name__)

PING_SECONDS = 25.0
PONG_SECONDS = 20.0

_PING = frame(b"2")


class EngineSocket(WebSocket):
    """A websocket that is pinged, and that gives up on who does not answer before the next ping."""

    __slots__ = ("_awaits_pong", "_beat_at", "id")

    def __init__(
        self, transport: asyncio.Transport, cork: Cork, wheel: Wheel, counts: SocketCounts, max_frame_bytes: int
    ) -> None:
        super().__init__(transport, cork, wheel, counts, max_frame_bytes)
        self.id = secrets.token_urlsafe(15)
        self._awaits_pong = False
        # Spread, so that those who came together are not asked together.
        self._beat_at = wheel.now + PING_SECONDS * random.uniform(0.6, 1)
        wheel.at(self, self._beat_at)
        opening = _Opening(self.id, (), int(PING_SECONDS * 1000), int(PONG_SECONDS * 1000), max_frame_bytes)
        self.send(frame(b"0" + msgspec.json.encode(opening)))

    @abstractmethod
    def receive_text(self, message: bytes) -> None:
        """Take a text message, with its `4` in front, or raise BadPacket."""

    @abstractmethod
    def receive_binary(self, message: bytes) -> None:
        """Take a binary message, or raise BadPacket."""

    def receive(self, opcode: int, message: bytes) -> None:
        try:
            if opcode != TEXT:
                self.receive_binary(message)
                return
            match message[:1]:
                case b"4":
                    self.receive_text(message)
                case b"3":
                    self._awaits_pong = False
                case b"1":
                    self.close(NORMAL, "client_left")
                case _:
                    raise BadPacket("not Engine.IO")
        except BadPacket as bad:
            self.break_off(str(bad))

    def break_off(self, reason: str) -> None:
        """End the connection of a client that says what nobody may say."""
        log.info("bad_packet", connection_id=self.id, reason=reason)
        self.close(POLICY, "bad_packet")

    def look(self, now: float) -> None:
        super().look(now)
        if self.is_open and now >= self._beat_at:
            self._beat(now)
        if self.is_open:
            self.wheel.at(self, self._beat_at)

    def _beat(self, now: float) -> None:
        # A pong may wait behind what we do not read from somebody who lags; that they read on is asked for instead.
        if self._awaits_pong and not self.lags:
            self.abort("ping_timeout")
        self._awaits_pong = True
        self.send(_PING)
        self._beat_at = now + PING_SECONDS


class _Opening(msgspec.Struct, frozen=True):
    """The names are Engine.IO's."""

    sid: str
    upgrades: tuple[str, ...]
    pingInterval: int  # noqa: N815
    pingTimeout: int  # noqa: N815
    maxPayload: int  # noqa: N815
