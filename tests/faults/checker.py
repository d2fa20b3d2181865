"""Judges a run by its history and by SQL alone; knows nothing of the server or of the clients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg

from tests.faults.history import Shown, Try, read


@dataclass
class Verdict:
    """What is wrong, one sentence each; empty lists are what was promised."""

    acknowledged: int = 0
    distinct: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disagreeing: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    misshown: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A message as the database has it."""

    id: str
    conversation_id: str
    seq: int
    sender_id: str
    client_id: str
    text: str


async def judge(history: Path, database_url: str) -> Verdict:
    """Compare a history with the database."""
    lines = read(history)
    tries = [line for line in lines if isinstance(line, Try)]
    shows = [line for line in lines if isinstance(line, Shown)]
    conversations = {line.conversation_id for line in lines}
    heads, rows = await _read_database(database_url, conversations)
    verdict = Verdict()
    _judge_acknowledged(verdict, tries, rows)
    _judge_rows(verdict, tries, rows)
    _judge_order(verdict, heads, rows)
    _judge_devices(verdict, shows, rows)
    return verdict


async def _read_database(database_url: str, conversations: Iterable[str]) -> tuple[dict[str, int], list[Row]]:
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        ids = [UUID(id_) for id_ in conversations]
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            heads = await connection.fetch("SELECT id, last_seq FROM conversations WHERE id = ANY($1)", ids)
            rows = await connection.fetch(
                "SELECT id, conversation_id, seq, sender_id, client_id, text FROM messages "
                "WHERE conversation_id = ANY($1) ORDER BY conversation_id, seq",
                ids,
            )
    finally:
        await connection.close()
    return (
        {str(row["id"]): row["last_seq"] for row in heads},
        [Row(str(r[0]), str(r[1]), r[2], str(r[3]), str(r[4]), r[5]) for r in rows],
    )


def _judge_acknowledged(verdict: Verdict, tries: list[Try], rows: list[Row]) -> None:
    """An acked message is there, as it was sent and as it was acked; all acks of one id agree."""
    by_id = {row.id: row for row in rows}
    answers: defaultdict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for one in tries:
        if one.acknowledged is None:
            continue
        verdict.acknowledged += 1
        answers[one.sender_id, one.id].add((one.message_id, one.seq))
        row = by_id.get(one.message_id)
        wanted = (one.conversation_id, one.seq, one.sender_id, one.id, one.text)
        if row is None:
            verdict.missing.append(f"{one.id} was acked as {one.message_id}, seq {one.seq}, and is not there")
        elif (row.conversation_id, row.seq, row.sender_id, row.client_id, row.text) != wanted:
            verdict.missing.append(f"{one.id} is {row}, not {wanted}")
    verdict.distinct = len(answers)
    for (_, client_id), said in answers.items():
        if len(said) > 1:
            verdict.disagreeing.append(f"{client_id} was acked as {sorted(said)}")


def _judge_rows(verdict: Verdict, tries: list[Try], rows: list[Row]) -> None:
    """Each id has one row, and each row was asked for."""
    asked = {(one.sender_id, one.id) for one in tries}
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = (row.sender_id, row.client_id)
        if key in seen:
            verdict.doubled.append(f"{row.client_id} is there twice")
        seen.add(key)
        if key not in asked:
            verdict.unasked.append(f"{row.client_id} was sent by nobody")


def _judge_order(verdict: Verdict, heads: dict[str, int], rows: list[Row]) -> None:
    """The seqs of each conversation are 1, 2, 3 … up to its head."""
    counted: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        counted[row.conversation_id] += 1
        if row.seq != counted[row.conversation_id]:
            verdict.gaps.append(f"{row.conversation_id}: {row.seq} stands at place {counted[row.conversation_id]}")
    for id_, head in heads.items():
        if head != counted[id_]:
            verdict.gaps.append(f"{id_}: the head is {head} of {counted[id_]} messages")


def _judge_devices(verdict: Verdict, shows: list[Shown], rows: list[Row]) -> None:
    """A device shows the messages of the database in its order, from where it begins up to the head."""
    order: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        order[row.conversation_id].append(row.id)
    for show in shows:
        true = order[show.conversation_id][show.first_seq - 1 :]
        if show.message_ids == true:
            continue
        if show.message_ids == true[: len(show.message_ids)]:
            verdict.behind.append(f"{show.id} shows {len(show.message_ids)} of {len(true)}")
        else:
            verdict.misshown.append(f"{show.id} shows another order of {show.conversation_id}")
