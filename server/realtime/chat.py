"""/chat: conversations live."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec

from server.core.limits import Limited
from server.core.permissions import Permission
from server.core.ports import World
from server.domain.chat import actions as chat
from server.domain.chat.models import (
    CLIENT_ID_REUSED,
    NO_CONVERSATION,
    Message,
    MessageCreated,
    MessageRead,
    NewMessage,
    Outgoing,
    Receipt,
    Seq,
)
from server.domain.chat.rules import topic_of
from server.realtime.connection import Connection
from server.realtime.namespace import Namespace

namespace = Namespace("/chat", "Conversations: messages and how far everybody has read.")


# What clients may say.


class SendMessage(NewMessage, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message and where it goes."""

    conversation_id: UUID


class MarkRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far one has read."""

    conversation_id: UUID
    seq: Seq


@namespace.command(
    needs=Permission.SEND_MESSAGE, errors=(NO_CONVERSATION, CLIENT_ID_REUSED), limited=Limited.SEND_MESSAGE
)
def on_send_message(connection: Connection, body: SendMessage) -> asyncio.Future[Message]:
    """Say something. The same `client_id` again gives back the first message with `duplicate: true`."""
    return connection.sockets.sending.submit(Outgoing(connection.me, body.conversation_id, body))


@namespace.command(needs=Permission.READ_MESSAGE, errors=(NO_CONVERSATION,))
async def on_mark_read(connection: Connection, body: MarkRead) -> Receipt:
    """Mark everything up to a seq as read. The cursor only moves forward."""
    async with connection.begin() as tx:
        return await chat.mark_read(tx, body.conversation_id, body.seq)


# What clients are told.


class ReceiptChanged(msgspec.Struct, frozen=True):
    """How far somebody has read. Keep the greatest `read_seq`."""

    conversation_id: UUID
    user_id: UUID
    read_seq: Seq
    read_at: datetime


MESSAGE_CREATED = namespace.event("message.created", Message, "Somebody said something.", sequenced=True)
RECEIPT_CHANGED = namespace.event("receipt.changed", ReceiptChanged, "Somebody has read further.")


async def tell_message(world: World, _: UUID, event: MessageCreated) -> None:
    """Show a message to everybody in its conversation, the sender's own devices too."""
    message = event.message
    topic = topic_of(message.conversation_id)
    world.live.tell(topic, MESSAGE_CREATED, message, at=message.created_at, seq=message.seq)
    world.live.set_typing(message.conversation_id, message.sender_id, False)


async def tell_receipt(world: World, _: UUID, event: MessageRead) -> None:
    """Show everybody in a conversation how far somebody has read."""
    receipt = event.receipt
    changed = ReceiptChanged(receipt.conversation_id, receipt.user_id, receipt.read_seq, receipt.read_at)
    world.live.tell(topic_of(receipt.conversation_id), RECEIPT_CHANGED, changed, at=receipt.read_at)
