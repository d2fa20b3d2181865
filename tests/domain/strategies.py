"""Made-up values for Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st

from server.domain.chat.models import Conversation, ConversationKind, Member, Message

ids = st.uuids()
seqs = st.integers(0, 1000)
START = datetime(2026, 3, 1, tzinfo=UTC)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def a_message(conversation_id: UUID, seq: int) -> Message:
    """Return a message whose ids follow from its place."""
    return Message(UUID(int=seq), conversation_id, seq, UUID(int=1), UUID(int=seq), f"message {seq}", START)


def a_conversation(
    id_: UUID, *, last_seq: int = 0, members: list[UUID] | None = None, name: str | None = None
) -> Conversation:
    """Return a conversation: a group when it has a name."""
    return Conversation(
        id_,
        ConversationKind.DIRECT if name is None else ConversationKind.GROUP,
        name,
        [Member(member, "Somebody", "somebody", "member", 0) for member in members or []],
        last_seq,
        0,
        last_seq,
        None,
        START,
        START,
    )
