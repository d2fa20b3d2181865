"""The words of chat."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.core.actor import Actor
from server.core.errors import ErrorCase, Kind
from server.core.events import Event
from server.core.text import LINE, LINES, NOT_BLANK, ONE_LINE

Text = Annotated[str, Meta(min_length=1, max_length=4000, pattern=LINES, extra={"says": NOT_BLANK})]
Title = Annotated[str, Meta(min_length=1, max_length=100, pattern=LINE, extra={"says": ONE_LINE})]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Place in the order of one topic; the first is 1.")]

NO_CONVERSATION = ErrorCase(
    "chat.conversation_not_found",
    Kind.NOT_FOUND,
    "There is no such conversation",
    "It does not exist, or you are not a member: the answer is the same.",
)
NO_MESSAGE = ErrorCase(
    "chat.message_not_found",
    Kind.NOT_FOUND,
    "There is no such message",
    "It does not exist, or you are not a member of its conversation.",
)
NO_PERSON = ErrorCase("chat.person_not_found", Kind.NOT_FOUND, "There is no such person", "Check `member_ids`.")
CLIENT_ID_REUSED = ErrorCase(
    "chat.client_id_reused",
    Kind.CONFLICT,
    "This client_id belongs to another message of yours",
    "A `client_id` names one message for ever. Repeat the message unchanged, or make a new UUIDv7.",
)
ID_TAKEN = ErrorCase("chat.id_taken", Kind.CONFLICT, "This id is already in use", "Make a new UUIDv7.")


class ConversationKind(StrEnum):
    """Two people, or a named group."""

    DIRECT = "direct"
    GROUP = "group"


class NewDirect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="direct"):
    """A conversation with one other person."""

    member_ids: Annotated[list[UUID], Meta(min_length=1, max_length=1, description="The other person.")]
    id: UUID | None = None
    name: ClassVar[None] = None
    kind: ClassVar[ConversationKind] = ConversationKind.DIRECT


class NewGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="group"):
    """A named conversation. Whoever opens it is a member, and its owner."""

    member_ids: Annotated[list[UUID], Meta(min_length=1, max_length=255, description="The other members.")]
    name: Title
    id: UUID | None = None
    kind: ClassVar[ConversationKind] = ConversationKind.GROUP


NewConversation = NewDirect | NewGroup


class NewMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to be sent. The same `client_id` a second time gives back the first message."""

    client_id: Annotated[UUID, Meta(description="UUIDv7 made by the app; names this message for ever.")]
    text: Text


class Outgoing(msgspec.Struct, frozen=True):
    """A message on its way: who sends it, and where."""

    me: Actor
    conversation_id: UUID
    new: NewMessage


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message. `duplicate` marks the answer to a retry."""

    id: UUID
    conversation_id: UUID
    seq: Seq
    sender_id: UUID
    client_id: UUID
    text: str
    created_at: datetime
    duplicate: bool = False


class Member(msgspec.Struct, frozen=True):
    """Somebody in a conversation, and how far they have read."""

    user_id: UUID
    name: str
    handle: str
    role: Literal["owner", "member"]
    read_seq: Seq


class Conversation(msgspec.Struct, frozen=True):
    """A conversation as one member sees it; `unread` and `read_seq` are the asker's own."""

    id: UUID
    kind: ConversationKind
    name: str | None
    members: list[Member]
    last_seq: Seq
    read_seq: Seq
    unread: int
    last_message: Message | None
    created_at: datetime
    last_message_at: datetime


class Receipt(msgspec.Struct, frozen=True):
    """How far a person has read, and what is then left unread here (`unread`) and everywhere (`badge`)."""

    conversation_id: UUID
    user_id: UUID
    read_seq: Seq
    read_at: datetime
    unread: int
    badge: int


class Seat(msgspec.Struct, frozen=True):
    """The asker's place in a conversation."""

    conversation_id: UUID
    last_seq: int


class MessagePlace(msgspec.Struct, frozen=True):
    """Where a message stands."""

    conversation_id: UUID
    seq: int


class ReadCursor(msgspec.Struct, frozen=True):
    """A read cursor after it was moved, or as it was."""

    read_seq: int
    read_at: datetime
    unread: int


class Badge(msgspec.Struct, frozen=True):
    """All unread messages of a person."""

    total: int


class PersonId(msgspec.Struct, frozen=True):
    """Somebody's id."""

    id: UUID


class ConversationId(msgspec.Struct, frozen=True):
    """A conversation's id."""

    id: UUID


class Head(msgspec.Struct, frozen=True):
    """How far a conversation has come."""

    id: UUID
    last_seq: int


class OldPresence(msgspec.Struct, frozen=True):
    """When somebody was last online."""

    user_id: UUID
    last_seen_at: datetime | None


class Sync(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a client stands: the last seq it has applied, for each topic it knows."""

    cursors: Annotated[
        dict[
            Annotated[
                str,
                Meta(
                    pattern=r"^conversation:[0-9a-f-]{36}$",
                    max_length=49,
                    extra={"says": "Expected a topic: conversation:<id>"},
                ),
            ],
            Seq,
        ],
        Meta(max_length=1000),
    ]
    limit: Annotated[int, Meta(ge=1, le=300, description="Most events of one topic.")] = 300


class MissedMessage(msgspec.Struct, frozen=True):
    """A `message.created` that the client has not seen, in its envelope."""

    topic: str
    seq: Seq
    at: datetime
    data: Message
    v: int = 1
    event: str = "message.created"


class Snapshot(msgspec.Struct, frozen=True):
    """A conversation afresh, with its newest messages."""

    conversation: Conversation
    messages: list[Message]


class ReadUpTo(msgspec.Struct, frozen=True):
    """How far a member has read."""

    user_id: UUID
    read_seq: Seq


class TopicSync(msgspec.Struct, frozen=True, omit_defaults=True):
    """What brings one topic up to date: the events after the cursor, or `reset` with a fresh snapshot.

    `receipts` are all members' read cursors and `unread` is the asker's own count: they have no order to be missed in,
    so they are told each time. A reset without a snapshot is
    a conversation that the asker may not see (any more).
    """

    seq: Seq
    events: list[MissedMessage] | UnsetType = UNSET
    receipts: list[ReadUpTo] | UnsetType = UNSET
    unread: int | UnsetType = UNSET
    reset: bool = False
    snapshot: Snapshot | UnsetType | None = UNSET


class SyncAnswer(msgspec.Struct, frozen=True):
    """Everything an app needs to be whole again; `conversations` are the ones that the client did not name or that moved."""

    topics: dict[str, TopicSync]
    conversations: list[Conversation]
    badge: int
    server_time: datetime


class MessageCreated(Event, frozen=True, kw_only=True, tag="message.created"):
    """Somebody said something."""

    journal: ClassVar[str | None] = "messages"
    message: Message


class MessageRead(Event, frozen=True, kw_only=True, tag="message.read"):
    """Somebody has read up to a message. The cursor itself is the record: it only ever moves forward."""

    journal: ClassVar[str | None] = "conversation_participants"
    receipt: Receipt


class ConversationCreated(Event, frozen=True, kw_only=True, tag="conversation.created"):
    """A conversation was opened."""

    conversation_id: UUID
    member_ids: list[UUID]
