"""Two formats, one hub: official clients of both hear and say the same."""

from typing import Any

import msgspec
import pytest
import socketio
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from server.core.ids import new_id
from server.realtime.formats import JSON, MSGPACK, BadPacket, Packet
from server.realtime.wire import done
from tests.given import Given
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.waiting import eventually

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
namespaces = st.sampled_from(("/", "/chat"))
ids = st.none() | st.integers(0, 10**15 - 1)


def without_head(ready: bytes) -> bytes:
    """Return what is in a frame that a server sends."""
    return ready[{126: 4, 127: 10}.get(ready[1], 2) :]


@hypothesis_given(st.text(min_size=1), plain, namespaces, ids)
def test_an_event_is_read_as_it_was_said_in_both_formats(name: str, body: Any, namespace: str, id_: int | None) -> None:
    place = "" if namespace == "/" else f"{namespace},"
    number = "" if id_ is None else str(id_)
    text = f"42{place}{number}".encode() + msgspec.json.encode([name, body])
    expected = Packet(2, namespace, id_, [name, body])
    assert JSON.decode_text(text) == expected
    packet = {"type": 2, "data": [name, body], "nsp": namespace, "options": {"compress": True}}
    packet |= {} if id_ is None else {"id": id_}
    assert MSGPACK.decode_binary(msgspec.msgpack.encode(packet)) == expected


@hypothesis_given(plain, namespaces)
def test_both_formats_tell_the_same(body: Any, namespace: str) -> None:
    envelope = msgspec.json.encode({"data": body})
    text = without_head(JSON.event(namespace, "said", envelope)).decode()
    packet = msgspec.msgpack.decode(without_head(MSGPACK.event(namespace, "said", envelope)))
    assert packet == {"type": 2, "nsp": namespace, "data": msgspec.json.decode(text[text.index("[") :])}
    ack = done({"body": body})
    text = without_head(JSON.ack(namespace, 7, ack)).decode()
    packet = msgspec.msgpack.decode(without_head(MSGPACK.ack(namespace, 7, ack)))
    assert packet == {"type": 3, "nsp": namespace, "id": 7, "data": msgspec.json.decode(text[text.index("[") :])}


@hypothesis_given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_a_bad_packet(raw: bytes) -> None:
    for read in (
        MSGPACK.decode_binary,
        MSGPACK.decode_text,
        JSON.decode_binary,
        lambda raw: JSON.decode_text(b"4" + raw),
    ):
        try:
            read(raw)
        except BadPacket:
            continue


def test_undefined_and_dates_of_javascript_become_what_json_makes_of_them() -> None:
    raw = bytes.fromhex(
        "84a47479706502a3 6e7370a12f a2 6964d40000 a464617461 93 a16e d40000 82a161d40000 a164d7000000000000000000"
    )
    assert MSGPACK.decode_binary(raw) == Packet(2, "/", None, ["n", None, {"d": "1970-01-01T00:00:00+00:00"}])


@pytest.mark.parametrize("deep", [b"\x91" * 60_000, b"\x81\xa1x" * 20_000])
def test_nesting_without_end_is_a_bad_packet(deep: bytes) -> None:
    with pytest.raises(BadPacket):
        MSGPACK.decode_binary(deep)


async def test_a_msgpack_client_talks_with_a_json_client(server: Server, given: Given, open_device: OpenDevice) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    phone = await open_device(tara)
    client = socketio.AsyncClient(serializer="msgpack", reconnection=False)
    heard: list[Any] = []
    client.on("message.created", heard.append, namespace="/chat")
    await client.connect(
        server.url,
        auth={"token": cleo.access_token},
        transports=["websocket"],
        namespaces=["/", "/chat"],
        socketio_path="/socket.io-msgpack/",
    )
    body = {"conversation_id": str(talk.id), "client_id": str(new_id()), "text": "Schön 🏋️"}
    ack = await client.call("send_message", body, namespace="/chat")
    assert ack["ok"]
    assert (await phone.hears("message.created", id=ack["data"]["id"])).data == ack["data"]
    answer = await phone.send(talk.id, "Yes")
    await eventually(lambda: len(heard) == 2)
    assert [one["data"] for one in heard] == [ack["data"], answer]
    refused = await client.call("send_message", {"text": 1}, namespace="/chat")
    assert refused["error"]["code"] == "invalid"
    other = socketio.AsyncClient(serializer="msgpack", reconnection=False)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await other.connect(server.url, transports=["websocket"], socketio_path="/socket.io-msgpack/")
    await client.disconnect()
