"""Pure decisions of chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from uuid import UUID

import msgspec

from server.core.errors import INVALID, DomainError, FieldError
from server.domain.chat.models import (
    CLIENT_ID_REUSED,
    NO_CONVERSATION,
    Conversation,
    Message,
    MissedMessage,
    NewConversation,
    NewMessage,
    Outgoing,
    ReadUpTo,
    Snapshot,
    TopicSync,
)

SNAPSHOT_MESSAGES = 50


def check_conversation(new: NewConversation, me: UUID) -> list[UUID]:
    """Return all members, the person asking first. Nobody talks with only themselves."""
    others = [member for member in dict.fromkeys(new.member_ids) if member != me]
    if not others:
        raise DomainError(INVALID, errors=(FieldError("/member_ids", "Name at least one other person"),))
    return [me, *others]


def direct_key(one: UUID, other: UUID) -> str:
    """Return the key that two people share, whoever of them asks."""
    return ":".join(sorted((str(one), str(other))))


def check_message(new: NewMessage) -> str:
    """Return the text as it is kept: without blank ends."""
    return new.text.strip()


def outcomes(group: Sequence[Outgoing], rows: Sequence[Message]) -> list[Message | DomainError]:
    """Give each outgoing message its row, or why there is none. The second of two equal ones is a duplicate."""
    saved = {(row.sender_id, row.client_id): row for row in rows}
    found: list[Message | DomainError] = []
    for outgoing in group:
        key = (outgoing.me.id, outgoing.new.client_id)
        row = saved.get(key)
        if row is None:
            found.append(DomainError(NO_CONVERSATION))
        elif is_retry_of(row, outgoing):
            found.append(row)
            saved[key] = msgspec.structs.replace(row, duplicate=True)
        else:
            found.append(DomainError(CLIENT_ID_REUSED))
    return found


def is_retry_of(row: Message, outgoing: Outgoing) -> bool:
    """Tell whether a saved message is what somebody wants to send, now or again."""
    return row.conversation_id == outgoing.conversation_id and row.text == check_message(outgoing.new)


class Gap(Enum):
    """How a topic is brought up to date."""

    NONE = auto()
    EVENTS = auto()
    RESET = auto()


def gap(cursor: int, head: int, limit: int) -> Gap:
    """Decide what a client at `cursor` needs to reach `head`: never a part of the events, all of them or a reset."""
    if cursor == head:
        return Gap.NONE
    if cursor > head or head - cursor > limit:
        return Gap.RESET
    return Gap.EVENTS


def starts(known: Mapping[UUID, Conversation], cursors: Mapping[UUID, int], limit: int) -> dict[UUID, int]:
    """Return, for each topic that needs messages, the seq after which they are wanted."""
    wanted = {}
    for conversation_id, cursor in cursors.items():
        conversation = known.get(conversation_id)
        if conversation is None:
            continue
        match gap(cursor, conversation.last_seq, limit):
            case Gap.EVENTS:
                wanted[conversation_id] = cursor
            case Gap.RESET:
                wanted[conversation_id] = max(0, conversation.last_seq - SNAPSHOT_MESSAGES)
            case Gap.NONE:
                pass
    return wanted


def bring_up(conversation: Conversation | None, cursor: int, limit: int, missed: list[Message]) -> TopicSync:
    """Put together what brings one topic from `cursor` to its head; `missed` are the messages of that topic."""
    if conversation is None:
        return TopicSync(0, reset=True, snapshot=None)
    if gap(cursor, conversation.last_seq, limit) is Gap.RESET:
        return TopicSync(conversation.last_seq, reset=True, snapshot=Snapshot(conversation, missed))
    topic = topic_of(conversation.id)
    events = [MissedMessage(topic, message.seq, message.created_at, message) for message in missed]
    receipts = [ReadUpTo(member.user_id, member.read_seq) for member in conversation.members]
    return TopicSync(conversation.last_seq, events=events, receipts=receipts, unread=conversation.unread)


def by_conversation(messages: Sequence[Message]) -> dict[UUID, list[Message]]:
    """Sort messages into their conversations; their order stays."""
    found: dict[UUID, list[Message]] = {}
    for message in messages:
        found.setdefault(message.conversation_id, []).append(message)
    return found


def is_same_conversation(found: Conversation, new: NewConversation, members: Sequence[UUID]) -> bool:
    """Tell whether a conversation is what a repeated request asks for."""
    name = new.name.strip() if new.name is not None else None
    return found.kind == new.kind and found.name == name and {m.user_id for m in found.members} == set(members)


def topic_of(conversation_id: UUID) -> str:
    """Return the name of the topic of a conversation."""
    return f"conversation:{conversation_id}"


def conversation_of(topic: str) -> UUID:
    """Return the conversation a topic belongs to; `invalid` when the name is not one."""
    try:
        return UUID(topic.removeprefix("conversation:"))
    except ValueError:
        raise DomainError(INVALID, errors=(FieldError("/cursors", f"{topic} is not a topic"),)) from None
