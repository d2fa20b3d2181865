"""The whole product with one namespace more, `/bench`, whose command only tells the topic and acks: fan-out alone.

Sign-in, topics, hub, connections and commands are the product's own; what is left out is the database on the way of a
message. `python -m bench.fanout_app` takes the settings of `python -m server serve`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from uuid import UUID

import msgspec

from server import __main__ as command_line
from server import catalogue
from server.core import clock
from server.core.errors import DomainError
from server.core.ids import new_id
from server.core.limits import Limited
from server.core.permissions import Permission
from server.domain.chat.models import NO_CONVERSATION, Message, Text
from server.domain.chat.rules import topic_of
from server.realtime.connection import Connection
from server.realtime.namespace import Namespace

namespace = Namespace("/bench", "Fan-out alone: nothing is stored.")
MESSAGE_CREATED = namespace.event("message.created", Message, "Somebody said something.", sequenced=True)
_seqs: defaultdict[str, int] = defaultdict(int)


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that is heard and forgotten."""

    conversation_id: UUID
    client_id: UUID
    text: Text


@namespace.command(needs=Permission.SEND_MESSAGE, errors=(NO_CONVERSATION,), limited=Limited.SEND_MESSAGE)
def on_send_message(connection: Connection, body: Say) -> Message:
    """Tell everybody in a conversation one hears."""
    topic = topic_of(body.conversation_id)
    if not connection.hears(topic):
        raise DomainError(NO_CONVERSATION)
    seq = _seqs[topic] = _seqs[topic] + 1
    at = clock.now()
    message = Message(new_id(), body.conversation_id, seq, connection.me.id, body.client_id, body.text, at)
    connection.live.tell(topic, MESSAGE_CREATED, message, at=at, seq=seq)
    return message


if __name__ == "__main__":
    catalogue.NAMESPACES[namespace.path] = namespace
    sys.exit(command_line.main(["serve"]))
