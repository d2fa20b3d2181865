"""WebSocket frames (RFC 6455): ready ones to send, and a reader for what arrives in whatever pieces."""

from __future__ import annotations

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NOT_UTF8, POLICY, TOO_LARGE, RESTARTING = 1000, 1001, 1002, 1007, 1008, 1009, 1012

_FINAL = 0x80
_RESERVED_BITS = 0x70
_MASKED = 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_LARGEST_CONTROL = 125
_MASK = 4
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))


class FrameError(Exception):
    """What arrived is not what RFC 6455 allows; `code` is what the close frame says."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Put a whole message into one frame, ready to be written to any number of connections."""
    size = len(payload)
    if size < _TWO_BYTES:
        return bytes((_FINAL | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((_FINAL | opcode, _TWO_BYTES, size >> 8, size & 255)) + payload
    return bytes((_FINAL | opcode, _EIGHT_BYTES)) + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Say why a connection ends."""
    return frame(code.to_bytes(2, "big") + reason.encode()[: _LARGEST_CONTROL - 2], CLOSE)


def close_code(payload: bytes) -> int:
    """Read the code of a close frame; without one it is a normal end."""
    if not payload:
        return NORMAL
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):  # noqa: PLR2004
        raise FrameError(PROTOCOL_ERROR, "bad close code")
    _check_utf8(payload[2:])
    return code


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Undo the mask of a client: one XOR of two big integers, as fast as C for any size."""
    size = len(payload)
    key = (mask * ((size >> 2) + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class FrameReader:
    """Takes bytes in any pieces and gives whole messages and control frames. Holds at most a message and one read."""

    __slots__ = ("_at", "_buffer", "_limit", "_opcode", "_parts", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = b""
        self._at = 0
        self._opcode = CONTINUATION  # of the message that is arriving in fragments; CONTINUATION when there is none
        self._parts: list[bytes] | None = None
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        self._buffer = self._buffer[self._at :] + data if self._buffer else data
        self._at = 0

    def next(self) -> tuple[int, bytes] | None:
        """Return the next message or control frame with its opcode; None until more is fed."""
        while self._buffer and (found := self._frame()) is not None:
            first, payload = found
            opcode = first & 15
            if opcode >= CLOSE:
                return opcode, payload
            if first & _FINAL and self._opcode == CONTINUATION and opcode != CONTINUATION:
                if opcode == TEXT:
                    _check_utf8(payload)
                return opcode, payload
            if (message := self._assemble(first, payload)) is not None:
                return message
        return None

    def _frame(self) -> tuple[int, bytes] | None:
        """Cut one frame out of the buffer. Its head is checked before its payload is waited for."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 2:  # noqa: PLR2004
            return None
        first, second = buffer[at], buffer[at + 1]
        size = second & 127
        start = at + 2
        if size >= _TWO_BYTES:
            width = 2 if size == _TWO_BYTES else 8
            if len(buffer) < start + width:
                return None
            size = int.from_bytes(buffer[start : start + width], "big")
            start += width
        if first & _RESERVED_BITS or not second & _MASKED or first & 15 not in _OPCODES or first & 8:
            _check_head(first, second)
        if size > self._limit:
            raise FrameError(TOO_LARGE, "frame too large")
        body = start + _MASK
        end = body + size
        if end > len(buffer):
            return None
        if end == len(buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return first, unmask(buffer[body:end], buffer[start:body])

    def _assemble(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """Add a fragment to the message it belongs to; return the message when it is whole."""
        opcode = first & 15
        if (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise FrameError(PROTOCOL_ERROR, "fragment out of place")
        if self._parts is None:
            self._parts, self._opcode = [], opcode
        if payload:  # empty fragments cost nothing, however many there are
            self._size += len(payload)
            if self._size > self._limit:
                raise FrameError(TOO_LARGE, "message too large")
            self._parts.append(payload)
        if not first & _FINAL:
            return None
        message = self._opcode, b"".join(self._parts)
        self._parts, self._opcode, self._size = None, CONTINUATION, 0
        if message[0] == TEXT:
            _check_utf8(message[1])
        return message


def _check_head(first: int, second: int) -> None:
    if first & _RESERVED_BITS:
        raise FrameError(PROTOCOL_ERROR, "reserved bits are set")
    if not second & _MASKED:
        raise FrameError(PROTOCOL_ERROR, "not masked")
    if first & 15 not in _OPCODES:
        raise FrameError(PROTOCOL_ERROR, "unknown opcode")
    if first & 15 >= CLOSE and (not first & _FINAL or second & 127 > _LARGEST_CONTROL):
        raise FrameError(PROTOCOL_ERROR, "bad control frame")


def _check_utf8(payload: bytes) -> None:
    if payload.isascii():
        return
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise FrameError(NOT_UTF8, "text is not UTF-8") from None
