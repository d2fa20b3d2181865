"""What clients did and what they were told, as JSON lines: the only thing the checker knows besides the database."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import msgspec


class Try(msgspec.Struct, tag="send", tag_field="op"):
    """One try to send a message. Without `acknowledged` nobody knows whether it arrived."""

    id: str
    sender_id: str
    conversation_id: str
    text: str
    road: Literal["socket", "rest"]
    invoked: float
    acknowledged: float | None = None
    message_id: str = ""
    seq: int = 0
    duplicate: bool = False
    refused: str = ""
    """The code of the error it was answered with."""
    status: int = 0
    """The status it was answered with over REST."""


class Shown(msgspec.Struct, tag="show", tag_field="op"):
    """What a device shows of a conversation at the end: the seq it begins with, and the ids of the messages."""

    id: str
    conversation_id: str
    first_seq: int
    message_ids: list[str]


Line = Try | Shown


class History:
    """Takes every try down as it begins and as it ends."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.acknowledged = 0

    def begin(
        self, client_id: str, sender_id: str, conversation_id: str, text: str, road: Literal["socket", "rest"]
    ) -> Try:
        """Take down one try; it stays unanswered unless it is acknowledged or refused."""
        one = Try(client_id, sender_id, conversation_id, text, road, time.monotonic())
        self.lines.append(one)
        return one

    def acknowledge(self, one: Try, message: dict[str, Any]) -> None:
        """The server says that it is done, and gives the message."""
        one.acknowledged = time.monotonic()
        one.message_id, one.seq = message["id"], message["seq"]
        one.duplicate = bool(message.get("duplicate"))
        self.acknowledged += 1

    def show(self, device: str, conversation_id: str, shown: list[tuple[int, str]]) -> None:
        """Take down what a device shows in the end."""
        first = shown[0][0] if shown else 1
        self.lines.append(Shown(device, conversation_id, first, [id_ for _, id_ in shown]))

    @property
    def tries(self) -> list[Try]:
        return [line for line in self.lines if isinstance(line, Try)]

    def write(self, path: Path) -> Path:
        """Write all lines, as the checker reads them."""
        path.write_bytes(msgspec.json.Encoder().encode_lines(self.lines))
        return path


def read(path: Path) -> list[Line]:
    """Read a history from its file."""
    found: list[Line] = msgspec.json.Decoder(Line).decode_lines(path.read_bytes())
    return found
