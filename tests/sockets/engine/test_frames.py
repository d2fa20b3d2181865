"""Frames of RFC 6455: whatever way they are cut, the same messages come out; what is not allowed ends it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.realtime import frames
from server.realtime.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, FrameError, FrameReader

LIMIT = 70_000
FINAL = 0x80
Message = tuple[int, bytes]


def masked(payload: bytes, opcode: int = TEXT, *, final: bool = True, mask: bytes = b"\x11\x22\x33\x44") -> bytes:
    """Make a frame as a client sends it, byte by byte."""
    size = len(payload)
    head = bytes([(FINAL if final else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def read(stream: bytes, *cuts: int) -> list[Message]:
    """Feed a stream cut into pieces; return all messages."""
    reader = FrameReader(LIMIT)
    found = []
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(places):
        reader.feed(stream[start:end])
        while (message := reader.next()) is not None:
            found.append(message)
    return found


texts = st.text(max_size=300).map(str.encode)
messages = st.one_of(st.tuples(st.just(TEXT), texts), st.tuples(st.just(BINARY), st.binary(max_size=300)))
controls = st.tuples(st.sampled_from((PING, PONG)), st.binary(max_size=125))


@given(st.lists(st.one_of(messages, controls)), st.lists(st.integers(0, 5000)), st.binary(min_size=4, max_size=4))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    sent: list[Message], cuts: list[int], mask: bytes
) -> None:
    assert read(b"".join(masked(payload, opcode, mask=mask) for opcode, payload in sent), *cuts) == sent


@given(messages, st.lists(st.integers(0, 300), max_size=6), st.lists(controls, max_size=3), st.integers(0, 2000))
def test_fragments_make_one_message_with_control_frames_in_between(
    message: Message, places: list[int], between: list[Message], cut: int
) -> None:
    opcode, payload = message
    edges = [0, *sorted(place % (len(payload) + 1) for place in places), len(payload)]
    parts = [payload[start:end] for start, end in pairwise(edges)]
    stream = b""
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        stream += masked(part, CONTINUATION if index else opcode, final=is_last)
        if not is_last:
            stream += b"".join(masked(one, kind) for kind, one in between)
    found = read(stream, cut)
    assert [one for one in found if one[0] < CLOSE] == [message]
    assert [one for one in found if one[0] >= CLOSE] == between * (len(parts) - 1)


@given(st.binary(max_size=70_000))
def test_what_we_frame_has_the_shortest_head(payload: bytes) -> None:
    ready = frames.frame(payload, BINARY)
    assert ready.endswith(payload)
    assert len(ready) - len(payload) == (2 if len(payload) < 126 else 4 if len(payload) < 65_536 else 10)
    assert ready[0] == FINAL | BINARY
    assert not ready[1] & 0x80, "servers do not mask"


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
def test_unmasking_twice_gives_back_the_payload(payload: bytes, mask: bytes) -> None:
    assert frames.unmask(frames.unmask(payload, mask), mask) == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, LIMIT])
def test_every_form_of_length_is_read(size: int) -> None:
    assert read(masked(b"x" * size)) == [(TEXT, b"x" * size)]


FORBIDDEN: dict[str, tuple[bytes, int]] = {
    "not masked": (frames.frame(b"hello"), 1002),
    "a reserved bit": (bytes([0xC1, 0x80]) + b"mask", 1002),
    "an opcode that does not exist": (masked(b"", 3), 1002),
    "a control opcode that does not exist": (masked(b"", 11), 1002),
    "a long ping": (masked(b"x" * 126, PING), 1002),
    "a ping in fragments": (masked(b"x", PING, final=False), 1002),
    "a continuation of nothing": (masked(b"x", CONTINUATION), 1002),
    "a message inside a message": (masked(b"x", final=False) + masked(b"y"), 1002),
    "too large": (masked(b"x" * (LIMIT + 1)), 1009),
    "too large with a huge length": (bytes([0x81, 0xFF]) + b"\xff" * 8, 1009),
    "too large in fragments": (masked(b"x" * LIMIT, final=False) + masked(b"x", CONTINUATION), 1009),
    "text that is not UTF-8": (masked(b"\xff"), 1007),
    "half a letter at the end of fragments": (masked(b"\xc3", final=False) + masked(b"", CONTINUATION), 1007),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_not_allowed_ends_it_with_its_code(what: str) -> None:
    stream, code = FORBIDDEN[what]
    with pytest.raises(FrameError) as caught:
        read(stream)
    assert caught.value.code == code


def test_a_size_that_is_too_large_is_refused_before_it_arrives() -> None:
    with pytest.raises(FrameError):
        read(masked(b"x" * (LIMIT + 1))[:14])


def test_what_came_before_a_fault_is_still_read() -> None:
    reader = FrameReader(LIMIT)
    reader.feed(masked(b"first") + masked(b"\xff"))
    assert reader.next() == (TEXT, b"first")
    with pytest.raises(FrameError):
        reader.next()


def test_a_letter_may_be_cut_between_fragments() -> None:
    assert read(masked(b"\xc3", final=False) + masked(b"\xa9", CONTINUATION)) == [(TEXT, "é".encode())]


def test_empty_fragments_take_no_room() -> None:
    reader = FrameReader(LIMIT)
    reader.feed(masked(b"", final=False))
    assert reader.next() is None
    for _ in range(1000):
        reader.feed(masked(b"", CONTINUATION, final=False))
        assert reader.next() is None
    assert reader._parts == []


@pytest.mark.parametrize(("payload", "code"), [(b"", 1000), (b"\x03\xe8", 1000), (b"\x0f\xa0bye", 4000)])
def test_a_close_frame_says_why(payload: bytes, code: int) -> None:
    assert frames.close_code(payload) == code


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\x13\x88", b"\x03\xe8\xff"])
def test_a_wrong_close_frame_is_an_error(payload: bytes) -> None:
    with pytest.raises(FrameError):
        frames.close_code(payload)
