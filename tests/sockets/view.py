"""What an app shows, kept true by nothing but the rules of docs/realtime.md.

It takes a device's events in the order in which they came, notices gaps, and asks with `sync`. Whatever it shows must
be what a fresh fetch would show.
"""

from __future__ import annotations

from typing import Any

from tests.sockets.device import Device, Heard, Json


class View:
    """The conversations of one person: messages, who has read how far, what is unread."""

    def __init__(self, me: str) -> None:
        self.me = me
        self.conversations: dict[str, Json] = {}
        self.messages: dict[str, list[Json]] = {}
        self.badge = 0
        self._taken = 0

    async def catch_up(self, device: Device, limit: int = 300) -> None:
        """Apply all that a device has heard, then ask for the rest: once more for what was not known before."""
        self.listen(device)
        self.apply_sync(await device.do("sync", cursors=self.cursors, limit=limit))
        if any(found["last_seq"] > self._last(id_) for id_, found in self.conversations.items()):
            self.apply_sync(await device.do("sync", cursors=self.cursors, limit=limit))

    def begin_again(self) -> None:
        """Start with a new device, which has heard nothing yet."""
        self._taken = 0

    def listen(self, device: Device) -> bool:
        """Apply what a device has heard since the last time; tell whether something is missing."""
        news, self._taken = device.heard[self._taken :], len(device.heard)
        gaps = [self._hear(heard) for heard in news]
        return any(gaps)

    def apply_sync(self, answer: Json) -> None:
        """Take over an answer to `sync`."""
        for topic, found in answer["topics"].items():
            conversation_id = topic.removeprefix("conversation:")
            if not found.get("reset"):
                self._fill(self.conversations[conversation_id], found)
            elif found["snapshot"] is None:
                self.conversations.pop(conversation_id, None)
                self.messages.pop(conversation_id, None)
            else:
                self._show(found["snapshot"]["conversation"])
                self.messages[conversation_id] = found["snapshot"]["messages"]
        for conversation in answer["conversations"]:
            self._show(conversation)
        self.badge = answer["badge"]

    def shown(self) -> dict[str, Any]:
        """Return all that is shown, to be compared with what is true."""
        return {"badge": self.badge, "conversations": self.conversations, "messages": self.messages}

    @property
    def cursors(self) -> dict[str, int]:
        """How far this view has come, for `sync`."""
        return {f"conversation:{id_}": self._last(id_) for id_ in self.conversations}

    def _last(self, conversation_id: str) -> int:
        known = self.messages.get(conversation_id)
        return int(known[-1]["seq"]) if known else 0

    def _hear(self, heard: Heard) -> bool:
        said = heard.data
        match heard.event:
            case "message.created":
                return self._hear_message(said)
            case "receipt.changed" if said["conversation_id"] in self.conversations:
                self._read(self.conversations[said["conversation_id"]], said["user_id"], said["read_seq"])
            case "badge.changed":
                self.badge = said["total"]
            case "sync.tick":
                return any(seq > self.cursors.get(topic, 0) for topic, seq in said["heads"].items())
            case "conversation.changed":
                self._show(said["conversation"])
                return bool(said["conversation"]["last_seq"] > self._last(said["conversation"]["id"]))
        return False

    def _hear_message(self, message: Json) -> bool:
        conversation = self.conversations.get(message["conversation_id"])
        if conversation is None or message["seq"] > self._last(conversation["id"]) + 1:
            return True
        if message["seq"] == self._last(conversation["id"]) + 1:
            self._add(message)
            self._move(conversation, message)
        return False

    def _fill(self, conversation: Json, found: Json) -> None:
        for envelope in found["events"]:
            self._add(envelope["data"])
        for receipt in found["receipts"]:
            self._read(conversation, receipt["user_id"], receipt["read_seq"])
        conversation["unread"] = found["unread"]

    def _add(self, message: Json) -> None:
        known = self.messages.setdefault(message["conversation_id"], [])
        assert message["seq"] == self._last(message["conversation_id"]) + 1, "sync leaves no hole"
        known.append(message)

    def _move(self, conversation: Json, message: Json) -> None:
        if message["seq"] <= conversation["last_seq"]:
            return
        conversation |= {
            "last_seq": message["seq"],
            "last_message": message,
            "last_message_at": message["created_at"],
        }
        if message["sender_id"] != self.me:
            conversation["unread"] += 1
            self.badge += 1

    def _read(self, conversation: Json, user_id: str, read_seq: int) -> None:
        for member in conversation["members"]:
            if member["user_id"] == user_id:
                member["read_seq"] = max(member["read_seq"], read_seq)
        if user_id == self.me:
            conversation["read_seq"] = max(conversation["read_seq"], read_seq)
            conversation["unread"] = sum(
                message["seq"] > conversation["read_seq"] and message["sender_id"] != self.me
                for message in self.messages.get(conversation["id"], ())
            )

    def _show(self, conversation: Json) -> None:
        known = self.conversations.get(conversation["id"])
        if known is None or conversation["last_seq"] >= known["last_seq"]:
            self.conversations[conversation["id"]] = conversation
        self.messages.setdefault(conversation["id"], [])
