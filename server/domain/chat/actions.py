"""The verbs of chat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from server.core.db import Tx
from server.core.errors import DomainError, LostRace
from server.core.ids import new_id
from server.core.permissions import Permission, Relation, require
from server.core.queries import QueryFile
from server.domain.chat import rules
from server.domain.chat.models import (
    ID_TAKEN,
    NO_CONVERSATION,
    NO_MESSAGE,
    NO_PERSON,
    Badge,
    Conversation,
    ConversationCreated,
    ConversationId,
    ConversationKind,
    Head,
    Message,
    MessageCreated,
    MessagePlace,
    MessageRead,
    NewConversation,
    NewMessage,
    OldPresence,
    Outgoing,
    PersonId,
    ReadCursor,
    Receipt,
    Seat,
    Sync,
    SyncAnswer,
)

chat = QueryFile("chat")

MAX_TOPICS = 200


async def create_conversation(tx: Tx, new: NewConversation) -> tuple[Conversation, bool]:
    """Open a conversation; of a direct one there is only one for each pair. The flag says whether it is new."""
    require(tx.me, Permission.CREATE_CONVERSATION)
    members = rules.check_conversation(new, tx.me.id)
    opened = await _open(tx, new, members)
    if opened is None:
        return await _find_opened(tx, new, members), False
    seated = await tx.many(
        PersonId,
        chat.insert_participants,
        conversation_id=opened.id,
        owner_id=tx.me.id if new.kind is ConversationKind.GROUP else None,
        user_ids=members,
        now=tx.now,
    )
    if len(seated) != len(members):
        raise DomainError(NO_PERSON)
    await tx.emit(ConversationCreated(conversation_id=opened.id, member_ids=members))
    return await show_conversation(tx, opened.id), True


async def _open(tx: Tx, new: NewConversation, members: list[UUID]) -> ConversationId | None:
    return await tx.maybe(
        ConversationId,
        chat.insert_conversation,
        id=new.id or new_id(),
        kind=new.kind,
        name=new.name.strip() if new.name is not None else None,
        direct_key=rules.direct_key(members[0], members[1]) if new.kind is ConversationKind.DIRECT else None,
        me=tx.me.id,
        now=tx.now,
    )


async def _find_opened(tx: Tx, new: NewConversation, members: list[UUID]) -> Conversation:
    """Find what stands in the way of a new conversation: the pair's one, or the first try of the same request."""
    if new.kind is ConversationKind.DIRECT:
        key = rules.direct_key(members[0], members[1])
        known = await tx.maybe(ConversationId, chat.select_direct_conversation, direct_key=key)
        if known is not None:
            return await show_conversation(tx, known.id)
    found = await list_conversations(tx, limit=1, ids=[new.id] if new.id else [])
    if not found or not rules.is_same_conversation(found[0], new, members):
        raise DomainError(ID_TAKEN)
    return found[0]


async def show_conversation(tx: Tx, conversation_id: UUID) -> Conversation:
    """Show a conversation to one of its members."""
    require(tx.me, Permission.READ_CONVERSATION, Relation.MEMBER)
    found = await list_conversations(tx, limit=1, ids=[conversation_id])
    if not found:
        raise DomainError(NO_CONVERSATION)
    return found[0]


class After(NamedTuple):
    """The last conversation of the page before."""

    at: datetime
    id: UUID


async def list_conversations(
    tx: Tx, *, limit: int, after: After | None = None, ids: list[UUID] | None = None
) -> list[Conversation]:
    """List the asker's conversations, the latest activity first."""
    require(tx.me, Permission.READ_CONVERSATION, Relation.MEMBER)
    return await tx.many(
        Conversation,
        chat.list_conversations,
        me=tx.me.id,
        ids=ids,
        before_at=after.at if after else None,
        before_id=after.id if after else None,
        limit=limit,
    )


async def list_topics(tx: Tx, limit: int) -> list[UUID]:
    """List the conversations the asker hears live."""
    require(tx.me, Permission.READ_CONVERSATION, Relation.MEMBER)
    return [found.id for found in await tx.many(ConversationId, chat.list_topics, me=tx.me.id, limit=limit)]


async def send_message(tx: Tx, conversation_id: UUID, new: NewMessage) -> Message:
    """Say something in a conversation one belongs to. A retry gives back the message that was saved first."""
    await tx.run(chat.lock_conversation, id=conversation_id)  # so that the next statement sees all that came before
    (outcome,) = await send_messages(tx, [Outgoing(tx.me, conversation_id, new)])
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


async def send_messages(tx: Tx, group: Sequence[Outgoing]) -> list[Message | DomainError]:
    """Save messages of several people in one statement, in the order given. Each has its own outcome.

    LostRace when one of them was saved by somebody else at the same moment: a second try gives it back.
    """
    for outgoing in group:
        require(outgoing.me, Permission.SEND_MESSAGE, Relation.MEMBER)
    rows = await tx.many(
        Message,
        chat.insert_messages,
        raises={"messages_sent_once": LostRace()},
        ids=[new_id() for _ in group],
        sender_ids=[outgoing.me.id for outgoing in group],
        conversation_ids=[outgoing.conversation_id for outgoing in group],
        client_ids=[outgoing.new.client_id for outgoing in group],
        texts=[rules.check_message(outgoing.new) for outgoing in group],
        now=tx.now,
    )
    for message in rows:
        if not message.duplicate:
            await tx.emit(MessageCreated(message=message))
    return rules.outcomes(group, rows)


async def list_messages(
    tx: Tx, conversation_id: UUID, *, limit: int, direction: Literal["before", "after"], seq: int
) -> list[Message]:
    """List up to `limit` messages next to `seq`, always in ascending order."""
    require(tx.me, Permission.READ_CONVERSATION, Relation.MEMBER)
    if await tx.maybe(Seat, chat.select_seat, conversation_id=conversation_id, me=tx.me.id) is None:
        raise DomainError(NO_CONVERSATION)
    if direction == "after":
        return await tx.many(Message, chat.list_messages_after, conversation_id=conversation_id, after=seq, limit=limit)
    newest = await tx.many(Message, chat.list_messages_before, conversation_id=conversation_id, before=seq, limit=limit)
    return newest[::-1]


async def read_message(tx: Tx, message_id: UUID) -> Receipt:
    """Mark a message, and everything before it, as read."""
    require(tx.me, Permission.READ_MESSAGE, Relation.MEMBER)
    place = await tx.maybe(MessagePlace, chat.select_message_place, message_id=message_id, me=tx.me.id)
    if place is None:
        raise DomainError(NO_MESSAGE)
    return await mark_read(tx, place.conversation_id, place.seq)


async def mark_read(tx: Tx, conversation_id: UUID, seq: int) -> Receipt:
    """Move the asker's read cursor forward to `seq`; a cursor that is there already stays."""
    require(tx.me, Permission.READ_MESSAGE, Relation.MEMBER)
    me = tx.me.id
    if await tx.maybe(Seat, chat.lock_own_cursor, conversation_id=conversation_id, me=me) is None:
        raise DomainError(NO_CONVERSATION)
    moved = await tx.maybe(
        ReadCursor, chat.move_read_cursor, conversation_id=conversation_id, me=me, seq=seq, now=tx.now
    )
    cursor = moved
    if cursor is None:
        cursor = await tx.one(ReadCursor, chat.select_read_cursor, conversation_id=conversation_id, me=me)
    badge = await count_unread(tx)
    receipt = Receipt(conversation_id, me, cursor.read_seq, cursor.read_at, cursor.unread, badge)
    if moved:
        await tx.emit(MessageRead(receipt=receipt))
    return receipt


async def list_heads(tx: Tx, conversation_ids: list[UUID]) -> dict[UUID, int]:
    """Tell how far conversations have come. For those who hear them already: who may is not asked again."""
    heads = await tx.many(Head, chat.list_heads, ids=conversation_ids)
    return {head.id: head.last_seq for head in heads}


async def count_unread(tx: Tx) -> int:
    """Count all unread messages of the asker."""
    return (await tx.one(Badge, chat.select_badge, me=tx.me.id)).total


async def list_acquaintances(tx: Tx, user_ids: list[UUID]) -> list[OldPresence]:
    """Of these people, list the ones whose presence the asker may see."""
    require(tx.me, Permission.WATCH_PRESENCE, Relation.MEMBER)
    return await tx.many(OldPresence, chat.list_acquaintances, me=tx.me.id, user_ids=user_ids)


async def sync(tx: Tx, wanted: Sync) -> SyncAnswer:
    """Bring an app up to date in one look: per topic what it missed, the changed conversations, the badge."""
    require(tx.me, Permission.SYNC, Relation.SELF)
    cursors = {rules.conversation_of(topic): cursor for topic, cursor in wanted.cursors.items()}
    mine = await list_conversations(tx, limit=MAX_TOPICS)
    known = {conversation.id: conversation for conversation in mine}
    older = [id_ for id_ in cursors if id_ not in known]
    if older:
        found = await list_conversations(tx, limit=len(older), ids=older)
        known.update({conversation.id: conversation for conversation in found})
    starts = rules.starts(known, cursors, wanted.limit)
    messages = await tx.many(
        Message,
        chat.list_missed_messages,
        conversation_ids=list(starts),
        cursors=list(starts.values()),
        limit=max(wanted.limit, rules.SNAPSHOT_MESSAGES),
    )
    missed = rules.by_conversation(messages)
    return SyncAnswer(
        topics={
            rules.topic_of(id_): rules.bring_up(known.get(id_), cursor, wanted.limit, missed.get(id_, []))
            for id_, cursor in cursors.items()
        },
        conversations=[found for found in known.values() if cursors.get(found.id) != found.last_seq],
        badge=await count_unread(tx),
        server_time=tx.now,
    )
