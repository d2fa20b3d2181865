"""Rules of chat: what a client missed, what a retry is, who is in a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from server.core.actor import Actor, Role
from server.core.errors import INVALID, DomainError
from server.domain.chat import rules
from server.domain.chat.models import (
    CLIENT_ID_REUSED,
    NO_CONVERSATION,
    Message,
    NewDirect,
    NewGroup,
    NewMessage,
    Outgoing,
    Snapshot,
    Sync,
)
from server.domain.chat.rules import SNAPSHOT_MESSAGES, Gap
from tests.domain.strategies import START, a_conversation, a_message, ids, seqs

limits = st.integers(1, 300)
texts = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=40).filter(str.strip)


@given(seqs, seqs, limits)
def test_a_client_gets_all_it_missed_or_starts_afresh_never_a_part(cursor: int, head: int, limit: int) -> None:
    match rules.gap(cursor, head, limit):
        case Gap.NONE:
            assert cursor == head
        case Gap.EVENTS:
            assert 0 < head - cursor <= limit
        case Gap.RESET:
            assert cursor > head or head - cursor > limit


@given(st.dictionaries(ids, seqs, max_size=5), st.dictionaries(ids, seqs, max_size=5), limits, st.data())
def test_messages_are_fetched_only_where_a_client_lags_and_may_look(
    heads: dict[UUID, int], others: dict[UUID, int], limit: int, data: st.DataObject
) -> None:
    known = {id_: a_conversation(id_, last_seq=head) for id_, head in heads.items()}
    cursors = {id_: data.draw(seqs) for id_ in known} | others
    starts = rules.starts(known, cursors, limit)
    assert starts.keys() == {id_ for id_ in known if cursors[id_] != heads[id_]}
    for id_, start in starts.items():
        if rules.gap(cursors[id_], heads[id_], limit) is Gap.EVENTS:
            assert start == cursors[id_]
        else:
            assert start == max(0, heads[id_] - SNAPSHOT_MESSAGES)


@given(ids, seqs, seqs, limits)
def test_a_client_that_is_brought_up_has_every_message_to_the_head(
    id_: UUID, cursor: int, head: int, limit: int
) -> None:
    """The old view and the answer together are what a fresh look would show."""
    conversation = a_conversation(id_, last_seq=head)
    everything = [a_message(id_, seq) for seq in range(1, head + 1)]
    start = rules.starts({id_: conversation}, {id_: cursor}, limit).get(id_, head)
    missed = [message for message in everything if message.seq > start]
    found = rules.bring_up(conversation, cursor, limit, missed)
    assert found.seq == head
    if found.reset:
        assert isinstance(found.snapshot, Snapshot)
        assert found.events is UNSET
        assert found.snapshot.messages == everything[-SNAPSHOT_MESSAGES:]
    else:
        assert found.events is not UNSET
        assert everything[:cursor] + [event.data for event in found.events] == everything
        assert all((event.topic, event.seq) == (f"conversation:{id_}", event.data.seq) for event in found.events)


@given(seqs, limits)
def test_a_conversation_one_may_not_see_is_reset_to_nothing(cursor: int, limit: int) -> None:
    found = rules.bring_up(None, cursor, limit, [])
    assert (found.seq, found.reset, found.snapshot) == (0, True, None)


@given(st.lists(st.tuples(st.integers(0, 2), seqs)))
def test_messages_are_sorted_into_their_conversations_in_order(pairs: list[tuple[int, int]]) -> None:
    messages = [a_message(UUID(int=number), seq) for number, seq in pairs]
    sorted_ = rules.by_conversation(messages)
    assert {id_: [m.seq for m in found] for id_, found in sorted_.items()} == {
        UUID(int=number): [seq for other, seq in pairs if other == number] for number, _ in pairs
    }


def outgoing(sender: int, client: int, conversation: int, text: str) -> Outgoing:
    """Return a message on its way, its ids made of small numbers."""
    new = NewMessage(client_id=UUID(int=client), text=text)
    return Outgoing(Actor(UUID(int=sender), Role.CLIENT), UUID(int=conversation), new)


def saved(first: Outgoing, seq: int, *, duplicate: bool = False) -> Message:
    """Return the row that a message on its way becomes."""
    text = rules.check_message(first.new)
    return Message(UUID(int=seq), first.conversation_id, seq, first.me.id, first.new.client_id, text, START, duplicate)


few = st.integers(1, 3)
groups = st.lists(st.builds(outgoing, few, few, few, st.sampled_from(["yes", " yes ", "no"])), max_size=12)


@given(groups)
def test_of_each_client_id_the_first_is_saved_and_the_rest_are_retries_or_conflicts(group: Sequence[Outgoing]) -> None:
    rows: dict[tuple[UUID, UUID], Message] = {}
    for piece in group:
        rows.setdefault((piece.me.id, piece.new.client_id), saved(piece, len(rows) + 1))
    seen = set()
    for piece, outcome in zip(group, rules.outcomes(group, list(rows.values())), strict=True):
        row = rows[piece.me.id, piece.new.client_id]
        if isinstance(outcome, DomainError):
            assert outcome.case is CLIENT_ID_REUSED
            assert not rules.is_retry_of(row, piece)
        else:
            assert msgspec.structs.replace(outcome, duplicate=False) == row
            assert outcome.duplicate is (row.id in seen)
            seen.add(row.id)


def test_a_message_without_a_row_went_to_a_conversation_one_is_not_in() -> None:
    (outcome,) = rules.outcomes([outgoing(1, 1, 1, "Hello")], [])
    assert isinstance(outcome, DomainError)
    assert outcome.case is NO_CONVERSATION


@given(texts, texts, few, few)
def test_a_retry_is_the_same_text_in_the_same_conversation(one: str, other: str, here: int, there: int) -> None:
    row = saved(outgoing(1, 1, here, one), 1)
    assert rules.is_retry_of(row, outgoing(1, 1, there, other)) is (here == there and one.strip() == other.strip())


@given(texts)
def test_a_text_is_kept_without_blank_ends_and_never_empty(text: str) -> None:
    kept = rules.check_message(NewMessage(client_id=UUID(int=1), text=f"  {text}\n"))
    assert kept == text.strip() != ""


@given(ids, st.lists(ids, min_size=1, max_size=6))
def test_whoever_opens_a_conversation_is_its_first_member_and_everybody_is_in_once(
    me: UUID, others: list[UUID]
) -> None:
    new = NewGroup(member_ids=[*others, others[0], me], name="Runners")
    if set(others) == {me}:
        with pytest.raises(DomainError):
            rules.check_conversation(new, me)
        return
    members = rules.check_conversation(new, me)
    assert members[0] == me
    assert sorted(members) == sorted({me, *others})


def test_nobody_talks_with_only_themselves() -> None:
    with pytest.raises(DomainError) as refused:
        rules.check_conversation(NewDirect(member_ids=[UUID(int=1)]), UUID(int=1))
    assert refused.value.case is INVALID
    assert [error.pointer for error in refused.value.errors] == ["/member_ids"]


@given(ids, ids, ids)
def test_two_people_share_one_key_and_nobody_else_has_it(one: UUID, other: UUID, third: UUID) -> None:
    key = rules.direct_key(one, other)
    assert key == rules.direct_key(other, one)
    assert (rules.direct_key(one, third) == key) is (third == other)


@given(st.sets(ids, min_size=2, max_size=5), texts, texts, st.sets(ids, min_size=2, max_size=5))
def test_a_repeated_request_is_the_same_kind_name_and_people(
    people: set[UUID], name: str, other_name: str, others: set[UUID]
) -> None:
    members, strangers = sorted(people), sorted(others)
    found = a_conversation(UUID(int=1), members=members, name=name.strip())
    assert rules.is_same_conversation(found, NewGroup(member_ids=members, name=f" {name} "), members[::-1])
    same_name = name.strip() == other_name.strip()
    assert rules.is_same_conversation(found, NewGroup(member_ids=members, name=other_name), members) is same_name
    assert rules.is_same_conversation(found, NewGroup(member_ids=strangers, name=name), strangers) is (people == others)
    assert not rules.is_same_conversation(found, NewDirect(member_ids=members[:1]), members)


@given(ids)
def test_a_topic_and_its_conversation_name_each_other(id_: UUID) -> None:
    topic = rules.topic_of(id_)
    assert rules.conversation_of(topic) == id_
    assert msgspec.convert({"cursors": {topic: 1}}, Sync).cursors == {topic: 1}


@given(st.from_regex(r"^conversation:[0-9a-f-]{36}\Z"))
def test_what_only_looks_like_a_topic_is_refused_politely(topic: str) -> None:
    if len(topic.removeprefix("conversation:").replace("-", "")) != 32:
        with pytest.raises(DomainError) as refused:
            rules.conversation_of(topic)
        assert refused.value.case is INVALID
