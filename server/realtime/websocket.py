"""One open websocket: messages in, ready frames out, and what happens when the other side does not read."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from server.core.metrics import SocketCounts
from server.core.ports import Shedding
from server.realtime.cork import Cork
from server.realtime.frames import CLOSE, PING, PONG, FrameError, FrameReader, close_code, close_frame, frame
from server.realtime.wheel import NEVER, Wheel

MAX_UNSENT_BYTES = 1024 * 1024
MAX_UNSENT_PACKETS = 256
STALL_SECONDS = 10.0
CLOSE_SECONDS = 2.0

# From which share of these bounds on an event is left out.
_LEFT_OUT_FROM = {Shedding.VOLATILE: 0.25, Shedding.REPLACEABLE: 0.5}


class WebSocket(asyncio.Protocol):
    """A connection after its handshake.

    The transport never buffers more than the rest of one write: `pause_writing` comes as soon as the kernel does not
    take everything. From then on what is unsent waits here, counted, and nothing more is read from a client that does
    not take its answers.
    """

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_close_at",
        "_cork",
        "_has_ended",
        "_is_held",
        "_is_mute",
        "_out",
        "_reader",
        "_stalled",
        "_transport",
        "counts",
        "due",
        "wheel",
    )

    def __init__(
        self, transport: asyncio.Transport, cork: Cork, wheel: Wheel, counts: SocketCounts, max_frame_bytes: int
    ) -> None:
        self.counts = counts
        self.wheel = wheel
        self.due = NEVER
        self._transport: asyncio.Transport | None = transport
        self._cork = cork
        self._reader = FrameReader(max_frame_bytes)
        self._is_held = False
        self._out: list[bytes] | None = None  # None: nothing was said in this tick
        self._backlog: list[bytes] | None = None  # None: the kernel takes what we write
        self._backlog_bytes = 0
        self._stalled: tuple[float, int] | None = None  # by when less must be unsent, and less than how much
        self._close_at: float | None = None  # when a connection that was told to close is cut off
        self._has_ended = False
        self._is_mute = False  # the last word is written
        transport.set_write_buffer_limits(0)

    @abstractmethod
    def receive(self, opcode: int, message: bytes) -> None:
        """Take a whole message."""

    @abstractmethod
    def has_room(self) -> bool:
        """Whether more messages can be taken now; `read_on` when this becomes true again."""

    @abstractmethod
    def ended(self, reason: str) -> None:
        """Nothing comes or goes any more. Called once, whoever ended it."""

    # Out.

    def send(self, ready: bytes) -> None:
        """Write a ready frame at the end of this tick. Never waits, never fails; after our goodbye nothing is said."""
        if self._close_at is not None:
            return  # a write after it would fail, and with it all that others are told in this tick
        if self._out is None:
            self._out = [ready]
            self._cork.add(self)
        else:
            self._out.append(ready)

    @property
    def lags(self) -> bool:
        """Whether the other side does not read as fast as we write."""
        return self._backlog is not None

    def leaves_out(self, shedding: Shedding) -> bool:
        """Whether an event of this kind is not sent, because the connection lags behind."""
        if self._backlog is None:
            return False
        lag = max(len(self._backlog) / MAX_UNSENT_PACKETS, self._backlog_bytes / MAX_UNSENT_BYTES)
        if lag < _LEFT_OUT_FROM[shedding]:
            return False
        self.counts.sheds[shedding] += 1
        return True

    @property
    def unsent(self) -> int:
        """How many bytes wait for the other side to read."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return waiting + self._backlog_bytes

    def flush(self) -> None:
        """Write what was said in this tick."""
        out, self._out = self._out, None
        if out is None or self._transport is None or self._is_mute:
            return
        if self._backlog is not None:
            self._fall_behind(self._backlog, out)
            return
        written = out[0] if len(out) == 1 else b"".join(out)
        self.counts.packets_out += len(out)
        self.counts.bytes_out += len(written)
        self._transport.write(written)

    def _fall_behind(self, backlog: list[bytes], out: list[bytes]) -> None:
        backlog += out
        self._backlog_bytes += sum(map(len, out))
        if len(backlog) > MAX_UNSENT_PACKETS or self._backlog_bytes > MAX_UNSENT_BYTES:
            self.abort("slow_consumer")

    def pause_writing(self) -> None:
        """The kernel has not taken everything."""
        self._backlog = []
        self._expect_progress()
        self.hold()

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        backlog, self._backlog, self._backlog_bytes, self._stalled = self._backlog, None, 0, None
        if backlog and self._out is None:
            self._out = backlog
            self._cork.add(self)
        elif backlog and self._out is not None:
            self._out = backlog + self._out
        if self._close_at is None:
            self.read_on()
        else:
            self.flush()
            self._fall_silent()

    def _expect_progress(self) -> None:
        assert self._transport is not None
        self._stalled = self.wheel.now + STALL_SECONDS, self._transport.get_write_buffer_size()
        self.wheel.at(self, self._stalled[0])

    # In.

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        if self._close_at is None:
            self._reader.feed(data)
            self._read()

    def read_on(self) -> None:
        """Go on reading, when there is room for what comes and the other side takes what we write."""
        if self._is_held and self._transport is not None and self._backlog is None and self.has_room():
            self._is_held = False
            self._transport.resume_reading()
            self._read()

    def hold(self) -> None:
        """Read no more until `read_on`."""
        if not self._is_held and self._transport is not None:
            self._is_held = True
            self._transport.pause_reading()

    def _read(self) -> None:
        try:
            while not self._is_held and self._close_at is None and (found := self._reader.next()) is not None:
                opcode, message = found
                if opcode >= CLOSE:
                    self._control(opcode, message)
                else:
                    self.receive(opcode, message)
                    if not self.has_room():
                        self.hold()
        except FrameError as error:
            self.close(error.code, error.reason)

    def _control(self, opcode: int, message: bytes) -> None:
        if opcode == PING:
            self.send(frame(message, PONG))
        elif opcode == CLOSE:
            self.close(close_code(message), "client_closed")

    # The end.

    def look(self, now: float) -> None:
        """See whether a write makes progress, and whether the other side goes when told to."""
        if self._close_at is not None:
            if now >= self._close_at:
                self.abort("close_timeout")
            else:
                self.wheel.at(self, self._close_at)
        elif self._stalled is not None and self._transport is not None:
            if now < self._stalled[0]:
                self.wheel.at(self, self._stalled[0])
            elif self._transport.get_write_buffer_size() < self._stalled[1]:
                self._expect_progress()
            else:
                self.abort("stalled")

    @property
    def is_open(self) -> bool:
        """Whether messages still come and go."""
        return self._transport is not None and self._close_at is None

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after all that was said before, then wait a moment for the other side to hang up.

        What still comes in is thrown away unread by us, not by the kernel: an unread byte would make it reset the
        connection, and the goodbye would be lost.
        """
        if self._transport is None or self._close_at is not None:
            return
        self.send(close_frame(code, reason))
        self.flush()
        self._end(reason)
        if self._transport is None:
            return
        self._close_at = self.wheel.now + CLOSE_SECONDS
        self.wheel.at(self, self._close_at)
        self._is_held = False
        self._transport.resume_reading()
        self._fall_silent()

    def _fall_silent(self) -> None:
        """Hang up on our side, once everything is written."""
        if self._backlog is None and self._transport is not None:
            self._is_mute = True
            self._transport.write_eof()

    def abort(self, reason: str) -> None:
        """Cut the connection now; what is unsent is thrown away."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._end(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._transport = None
        self._end("transport_error" if exc else "transport_closed")

    def _end(self, reason: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.counts.ends[reason] += 1
            self.ended(reason)
