"""Commands that make no sense: each is answered with what is wrong, and nothing happens."""

from typing import Any

import pytest

from server.core.ids import new_id
from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Server
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Device, plain
from tests.waiting import eventually

SOME_ID = "01890000-0000-7000-8000-000000000000"
GOOD = {"conversation_id": SOME_ID, "client_id": SOME_ID, "text": "Hello"}


@pytest.fixture
async def device(open_device: OpenDevice, cleo: Person) -> Device:
    return await open_device(cleo)


async def a_talk(given: Given, device: Device, person: Person) -> Conversation:
    """Open a conversation and wait until the device hears it."""
    talk = await given.a_conversation(person, await given.a_trainer())
    await device.hears("conversation.changed")
    return talk


@pytest.mark.parametrize(
    ("command", "body", "wrong"),
    [
        ("send_message", {}, ["/client_id", "/conversation_id", "/text"]),
        ("send_message", GOOD | {"text": ""}, ["/text"]),
        ("send_message", GOOD | {"text": " \n\t"}, ["/text"]),
        ("send_message", GOOD | {"text": "x" * 4001}, ["/text"]),
        ("send_message", GOOD | {"text": "a\0b"}, ["/text"]),
        ("send_message", GOOD | {"text": None}, ["/text"]),
        ("send_message", GOOD | {"text": {"deep": [1]}}, ["/text"]),
        ("send_message", GOOD | {"client_id": "7"}, ["/client_id"]),
        ("send_message", GOOD | {"sender_id": SOME_ID, "seq": 1}, ["/sender_id", "/seq"]),
        (
            "send_message",
            {"conversation_id": 7, "client_id": [], "text": 1, "more": 1},
            ["/client_id", "/conversation_id", "/more", "/text"],
        ),
        ("mark_read", {"conversation_id": SOME_ID, "seq": -1}, ["/seq"]),
        ("mark_read", {"conversation_id": SOME_ID, "seq": 2**53}, ["/seq"]),
        ("mark_read", {"conversation_id": SOME_ID, "seq": 1.5}, ["/seq"]),
        ("mark_read", {"conversation_id": SOME_ID, "seq": "1"}, ["/seq"]),
        ("mark_read", {"seq": True, "to": 3}, ["/conversation_id", "/seq", "/to"]),
        ("set_typing", {"conversation_id": SOME_ID, "typing": "yes"}, ["/typing"]),
        ("set_typing", {"conversation_id": SOME_ID, "typing": 1}, ["/typing"]),
        ("watch_presence", {"user_ids": []}, ["/user_ids"]),
        ("watch_presence", {"user_ids": [SOME_ID] * 501}, ["/user_ids"]),
        ("watch_presence", {"user_ids": [SOME_ID, "me"]}, ["/user_ids/1"]),
        ("set_presence", {"state": "offline"}, ["/state"]),
        ("set_presence", {"state": None}, ["/state"]),
    ],
)
async def test_every_wrong_field_is_named(
    device: Device, command: str, body: dict[str, object], wrong: list[str]
) -> None:
    error = await device.refused(command, **body)
    assert (error["code"], error["retryable"]) == ("invalid", False)
    assert sorted(found["pointer"].replace("/...", "/1") for found in error["errors"]) == wrong
    assert all(found["detail"] for found in error["errors"])


@pytest.mark.parametrize("body", [[], "text", 7, True, [GOOD]])
async def test_a_body_that_is_no_object_is_refused(device: Device, body: object) -> None:
    for command in ("sync", "send_message", "set_typing"):
        ack = await device.ack_of(command, body)
        assert (ack["ok"], ack["error"]["code"]) == (False, "invalid")


async def test_a_command_has_one_argument(device: Device) -> None:
    several: list[tuple[object, ...]] = [(GOOD, GOOD), ({"cursors": {}}, None), ({"cursors": {}}, {}, {})]
    for arguments in several:
        error = (await device.ack_of("sync", *arguments))["error"]
        assert (error["code"], error["detail"]) == ("invalid", "A command has one argument")
    assert (await device.ack_of("sync"))["error"]["errors"] == [{"pointer": "/cursors", "detail": "Required"}]


@pytest.mark.parametrize(
    "command",
    [
        "send",
        "on_send_message",
        "send_message ",
        "",
        "__class__",
        "connect",
        "disconnect",
        "connect_error",
        "*",
        "message",
    ],
)
async def test_an_unknown_command_is_answered_and_runs_nothing(
    given: Given, device: Device, cleo: Person, command: str
) -> None:
    talk = await a_talk(given, device, cleo)
    for namespace in ("/", "/chat", "/typing"):
        ack: dict[str, Any] = await device.client.call(command, {}, namespace, timeout=5)
        assert (ack["ok"], ack["error"]["code"]) == (False, "unknown_command")
    # The connection is what it was: signed in, and told what is said.
    message = await device.send(talk.id)
    await device.hears("message.created", id=message["id"])
    assert not device.closed.is_set()


async def test_a_command_belongs_to_its_namespace(device: Device) -> None:
    ack: dict[str, Any] = await device.client.call("send_message", GOOD, "/", timeout=5)
    assert ack["error"]["code"] == "unknown_command"
    ack = await device.client.call("sync", {"cursors": {}}, "/chat", timeout=5)
    assert ack["error"]["code"] == "unknown_command"


async def test_bytes_are_no_text(given: Given, device: Device, cleo: Person) -> None:
    talk = await a_talk(given, device, cleo)
    body = plain(GOOD | {"conversation_id": talk.id}) | {"text": b"Hello"}
    ack = await device.ack_of("send_message", body)
    assert (ack["ok"], ack["error"]["code"]) == (False, "invalid")
    assert (await device.send(talk.id, "Hello"))["seq"] == 1


async def test_a_command_without_an_ack_is_done_in_silence(
    server: Server, given: Given, device: Device, cleo: Person
) -> None:
    talk = await a_talk(given, device, cleo)
    body = plain({"conversation_id": talk.id, "client_id": new_id(), "text": "No need to answer"})
    await device.client.emit("send_message", body, "/chat")
    assert (await device.hears("message.created")).data["text"] == "No need to answer"
    await device.client.emit("send_message", {"text": 7}, "/chat")
    await device.client.emit("nonsense", {}, "/chat")
    assert (await device.send(talk.id))["seq"] == 2
    listed = (await server.as_(cleo.access_token).get(f"/conversations/{talk.id}/messages")).body["items"]
    await eventually(lambda: device.seqs(talk.id) == [1, 2] == [message["seq"] for message in listed])
