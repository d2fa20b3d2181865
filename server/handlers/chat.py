"""REST of chat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.core.limits import RATE_LIMITED, Limited
from server.core.permissions import Permission
from server.core.text import END
from server.domain.chat import actions as chat
from server.domain.chat.models import (
    CLIENT_ID_REUSED,
    ID_TAKEN,
    NO_CONVERSATION,
    NO_MESSAGE,
    NO_PERSON,
    Conversation,
    Message,
    NewDirect,
    NewGroup,
    NewMessage,
    Outgoing,
    Receipt,
    Seq,
    Sync,
    SyncAnswer,
)
from server.handlers.http import Reply, Request, Routes

routes = Routes("chat")
Limit = Annotated[int, Meta(ge=1, le=100)]
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CURSOR = f"conversation:{_UUID}=[0-9]{{1,15}}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_SEQ = 2**53


class ConversationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of the list."""

    limit: Limit = 50
    cursor: Annotated[str, Meta(pattern=f"^[0-9]{{1,16}}_{_UUID}{END}")] | UnsetType = UNSET


class MessageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages: the newest; or those before a seq; or those after one, oldest first."""

    limit: Limit = 50
    before: Seq | UnsetType = UNSET
    after: Seq | UnsetType = UNSET
    cursor: Annotated[str, Meta(pattern=f"^[0-9]{{1,15}}{END}")] | UnsetType = UNSET


class SyncQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a client stands: `conversation:<id>=<last seq>`, up to 85 with commas between; more do not fit a URL."""

    cursors: Annotated[str, Meta(pattern=f"^({_CURSOR}(,{_CURSOR}){{0,84}})?{END}")] = ""
    limit: Annotated[int, Meta(ge=1, le=300)] = 300


class ConversationPage(msgspec.Struct, frozen=True):
    """Some conversations, the latest activity first."""

    items: list[Conversation]
    next_cursor: str | None


class MessagePage(msgspec.Struct, frozen=True):
    """Some messages in ascending order. `next_cursor` leads on: to older ones, or with `after` to newer ones."""

    items: list[Message]
    next_cursor: str | None


@routes.post(
    "/conversations",
    needs=Permission.CREATE_CONVERSATION,
    also=(200,),
    errors=(NO_PERSON, ID_TAKEN, RATE_LIMITED),
)
async def create_conversation(request: Request, body: NewDirect | NewGroup) -> Reply[Conversation]:
    """Open a conversation. Two people have one direct conversation for ever: asking again answers 200 with it."""
    # Each is shown at once to everybody in it, asked or not.
    request.limit(Limited.CREATE_CONVERSATION)
    async with request.begin() as tx:
        conversation, is_new = await chat.create_conversation(tx, body)
    return Reply(conversation, 201 if is_new else 200)


@routes.get("/conversations", needs=Permission.READ_CONVERSATION)
async def list_conversations(request: Request, query: ConversationQuery) -> ConversationPage:
    """List one's conversations, the latest activity first."""
    async with request.read() as tx:
        items = await chat.list_conversations(tx, limit=query.limit, after=_after(query.cursor))
    return ConversationPage(items, _cursor(items[-1]) if len(items) == query.limit else None)


@routes.get("/conversations/{conversation_id}", needs=Permission.READ_CONVERSATION, errors=(NO_CONVERSATION,))
async def show_conversation(request: Request, conversation_id: UUID) -> Conversation:
    """Show one conversation."""
    async with request.read() as tx:
        return await chat.show_conversation(tx, conversation_id)


@routes.get("/conversations/{conversation_id}/messages", needs=Permission.READ_CONVERSATION, errors=(NO_CONVERSATION,))
async def list_messages(request: Request, conversation_id: UUID, query: MessageQuery) -> MessagePage:
    """List messages of a conversation, always in ascending order."""
    cursor = UNSET if query.cursor is UNSET else int(query.cursor)
    async with request.read() as tx:
        if query.after is not UNSET:
            start = query.after if cursor is UNSET else cursor
            items = await chat.list_messages(tx, conversation_id, limit=query.limit, direction="after", seq=start)
        else:
            end = next(seq for seq in (cursor, query.before, LAST_SEQ) if seq is not UNSET)
            items = await chat.list_messages(tx, conversation_id, limit=query.limit, direction="before", seq=end)
    if len(items) < query.limit:
        return MessagePage(items, None)
    return MessagePage(items, str(items[0 if query.after is UNSET else -1].seq))


@routes.post(
    "/conversations/{conversation_id}/messages",
    needs=Permission.SEND_MESSAGE,
    also=(200,),
    errors=(NO_CONVERSATION, CLIENT_ID_REUSED),
)
async def send_message(request: Request, conversation_id: UUID, body: NewMessage) -> Reply[Message]:
    """Say something. The same `client_id` again answers 200 with the message that was saved first."""
    message = await request.services.sending.submit(Outgoing(request.me, conversation_id, body))
    return Reply(message, 200 if message.duplicate else 201)


@routes.put("/messages/{message_id}/read", needs=Permission.READ_MESSAGE, errors=(NO_MESSAGE,))
async def read_message(request: Request, message_id: UUID) -> Receipt:
    """Mark a message, and everything before it, as read."""
    async with request.begin() as tx:
        return await chat.read_message(tx, message_id)


@routes.get("/sync", needs=Permission.SYNC)
async def sync(request: Request, query: SyncQuery) -> SyncAnswer:
    """Catch up without a socket: for each topic what came after its cursor, and every conversation that has moved on."""
    pairs = (pair.split("=") for pair in query.cursors.split(",") if pair)
    wanted = Sync({topic: int(seq) for topic, seq in pairs}, query.limit)
    async with request.snapshot() as tx:
        return await chat.sync(tx, wanted)


def _cursor(last: Conversation) -> str:
    return f"{(last.last_message_at - _EPOCH) // timedelta(microseconds=1)}_{last.id}"


def _after(cursor: str | UnsetType) -> chat.After | None:
    if cursor is UNSET:
        return None
    micros, _, id_ = cursor.partition("_")
    return chat.After(_EPOCH + timedelta(microseconds=int(micros)), UUID(id_))
