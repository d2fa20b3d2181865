"""Socket.IO packets (protocol 5) in the two formats that clients speak, each ready as a websocket frame.

Every event is encoded as JSON first; the msgpack form is made from it, so that both say exactly the same.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from socketio import packet as socket_packet
from socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT

from server.realtime.frames import BINARY, frame
from server.realtime.wire import Ack, Refusal

MAX_ATTACHMENTS = 10
UNREADABLE: list[Any] = []  # the data of an event whose text no database can keep: it is refused, not the connection


class BadPacket(Exception):
    """Not Socket.IO: nothing that follows can be trusted to mean what it says."""


class Packet(NamedTuple):
    """What a client says. `id` is None when it wants no ack; `data` is what its type carries."""

    type: int
    namespace: str
    id: int | None
    data: Any


class Format(Protocol):
    """How packets travel on one path."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str: ...

    def event(self, namespace: str, event: str, envelope: bytes) -> bytes:
        """Frame an event around an envelope that is JSON already."""
        ...

    def ack(self, namespace: str, id_: int, ack: Ack) -> bytes: ...

    def joined(self, namespace: str, sid: str) -> bytes: ...

    def refused(self, namespace: str, refusal: Refusal) -> bytes: ...

    def left(self, namespace: str) -> bytes: ...

    def decode_text(self, message: bytes) -> Packet | Incomplete:
        """Read a text message that Engine.IO marks as one of ours (`4`)."""
        ...

    def decode_binary(self, message: bytes) -> Packet: ...


class Incomplete:
    """An event whose binary attachments are still on their way; they count as one message, and are bounded like one."""

    __slots__ = ("_left", "_packet")

    def __init__(self, text: bytes, limit: int = 64 * 1024) -> None:
        self._left = limit
        try:
            self._packet = _BinaryPacket(encoded_packet=text.decode())
        except (ValueError, RecursionError):
            raise BadPacket("not a packet") from None
        if not 0 < self._packet.attachment_count <= MAX_ATTACHMENTS:
            raise BadPacket("too many attachments, or none")

    def add(self, attachment: bytes) -> Packet | None:
        """Take the next attachment; return the packet when it was the last."""
        self._left -= len(attachment)
        if self._left < 0:
            raise BadPacket("attachments too large")
        try:
            is_whole = self._packet.add_attachment(attachment)
        except (LookupError, TypeError, RecursionError):
            raise BadPacket("a placeholder for no attachment") from None
        if not is_whole:
            return None
        return Packet(EVENT, self._packet.namespace or "/", self._packet.id, _event(self._packet.data))


class _Json:
    """msgspec in the shape python-socketio wants."""

    @staticmethod
    def loads(text: str, **_: Any) -> Any:
        return msgspec.json.decode(text)


class _BinaryPacket(socket_packet.Packet):  # type: ignore[misc]
    """python-socketio's packet, for the one type that comes in several messages."""

    json = _Json


class JsonFormat:
    """The default parser of every client."""

    name = "json"
    path = "/socket.io/"
    _head = re.compile(rb"4([0-4])(?:(/[^,?]{0,200})(?:\?[^,]{0,200})?(?:,|$))?(\d{1,15})?")

    def event(self, namespace: str, event: str, envelope: bytes) -> bytes:
        return frame(b'42%b["%b",%b]' % (_place(namespace), event.encode(), envelope))

    def ack(self, namespace: str, id_: int, ack: Ack) -> bytes:
        return frame(b"43%b%d[%b]" % (_place(namespace), id_, msgspec.json.encode(ack)))

    def joined(self, namespace: str, sid: str) -> bytes:
        return frame(b'40%b{"sid":"%b"}' % (_place(namespace), sid.encode()))

    def refused(self, namespace: str, refusal: Refusal) -> bytes:
        return frame(b"44%b%b" % (_place(namespace), msgspec.json.encode(refusal)))

    def left(self, namespace: str) -> bytes:
        return frame(b"41%b" % _place(namespace))

    def decode_text(self, message: bytes) -> Packet | Incomplete:
        if message[1:2] == b"5":
            return Incomplete(message[1:])
        head = self._head.match(message)
        if head is None:
            raise BadPacket("not a packet")
        type_, place, id_ = head.groups()
        try:
            namespace = place.decode() if place else "/"
        except UnicodeDecodeError:
            raise BadPacket("a namespace that is no text") from None
        rest = message[head.end() :]
        try:
            data = msgspec.json.decode(rest) if rest else None
        except (msgspec.DecodeError, RecursionError):
            if type_ != b"2" or not _is_half_a_pair(rest):
                raise BadPacket("not JSON") from None
            data = UNREADABLE
        return _checked(int(type_), namespace, int(id_) if id_ else None, data)

    def decode_binary(self, message: bytes) -> Packet:
        raise BadPacket(f"{len(message)} bytes attached to no event")


class MsgpackFormat:
    """The official socket.io-msgpack-parser: a packet is one map, and binary data stands where it belongs."""

    name = "msgpack"
    path = "/socket.io-msgpack/"

    def event(self, namespace: str, event: str, envelope: bytes) -> bytes:
        return self._frame(EVENT, namespace, [event, msgspec.json.decode(envelope)])

    def ack(self, namespace: str, id_: int, ack: Ack) -> bytes:
        return self._frame(ACK, namespace, [msgspec.to_builtins(ack)], id_)

    def joined(self, namespace: str, sid: str) -> bytes:
        return self._frame(CONNECT, namespace, {"sid": sid})

    def refused(self, namespace: str, refusal: Refusal) -> bytes:
        return self._frame(CONNECT_ERROR, namespace, msgspec.to_builtins(refusal))

    def left(self, namespace: str) -> bytes:
        return self._frame(DISCONNECT, namespace)

    def decode_text(self, message: bytes) -> Packet | Incomplete:
        raise BadPacket(f"text of {len(message)} bytes where msgpack is spoken")

    def decode_binary(self, message: bytes) -> Packet:
        try:
            plain = _UNPACK(message)
            if _UNDEFINED_BYTES in message:
                plain = _without_undefined(plain)
            found = msgspec.convert(plain, _Map)
        except (msgspec.DecodeError, RecursionError, ValueError, OverflowError):
            raise BadPacket("not a packet") from None
        return _checked(found.type, found.nsp.partition("?")[0], found.id, found.data)

    @staticmethod
    def _frame(type_: int, namespace: str, data: object = msgspec.UNSET, id_: int | None = None) -> bytes:
        packet: dict[str, object] = {"type": type_, "nsp": namespace}
        if data is not msgspec.UNSET:
            packet["data"] = data
        if id_ is not None:
            packet["id"] = id_
        return frame(msgspec.msgpack.encode(packet), BINARY)


class _Map(msgspec.Struct, frozen=True):
    type: int
    nsp: str
    data: Any = None
    id: int | None = None


def _extension(code: int, raw: memoryview) -> object:
    """Read what JavaScript's msgpack adds: `undefined`, and a Date, which is what JSON makes of it."""
    if code == 0 and len(raw) == 1:
        return msgspec.UNSET
    if code == 0 and len(raw) == _DATE_BYTES:
        return datetime.fromtimestamp(int.from_bytes(raw, "big", signed=True) / 1000, UTC).isoformat()
    raise ValueError("unknown extension")


def _without_undefined(value: Any) -> Any:
    """Do as JSON does: leave out undefined members of objects, make them null in arrays."""
    if isinstance(value, dict):
        return {key: _without_undefined(one) for key, one in value.items() if one is not msgspec.UNSET}
    if isinstance(value, list):
        return [_without_undefined(one) for one in value]
    return None if value is msgspec.UNSET else value


_DATE_BYTES = 8
_UNDEFINED_BYTES = b"\xd4\x00\x00"
_UNPACK = msgspec.msgpack.Decoder(ext_hook=_extension).decode

JSON, MSGPACK = JsonFormat(), MsgpackFormat()
FORMATS: tuple[Format, ...] = (JSON, MSGPACK)


def _checked(type_: int, namespace: str, id_: int | None, data: Any) -> Packet:
    if type_ == EVENT:
        return Packet(EVENT, namespace, id_, _event(data))
    if type_ == CONNECT:
        return Packet(CONNECT, namespace, None, data)
    if type_ == DISCONNECT or (type_ == ACK and isinstance(data, list)):
        return Packet(type_, namespace, id_, None)
    raise BadPacket("a packet that clients do not send")


def _is_half_a_pair(text: bytes) -> bool:
    """Whether this is JSON but for half a surrogate pair, as JavaScript writes a text that was cut in an emoji."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return b"\\ud" in text.lower()


def _event(data: Any) -> list[Any]:
    if isinstance(data, list) and (data is UNREADABLE or (data and isinstance(data[0], str))):
        return data
    raise BadPacket("an event without a name")


def _place(namespace: str) -> bytes:
    return b"" if namespace == "/" else namespace.encode() + b","
