"""What travels over a socket: the envelope of an event, the ack of a command, a refusal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from server.core.errors import DomainError, FieldError

PROTOCOL = 1


class Envelope(msgspec.Struct, frozen=True):
    """The one argument of every event. `seq` is the place in the topic's order; null where there is none."""

    topic: str
    seq: int | None
    at: datetime
    data: Any
    v: int = PROTOCOL


class CommandError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a command was not done; the codes are those of REST."""

    code: str
    title: str
    retryable: bool
    detail: str | None = None
    retry_after_ms: int | None = None
    errors: tuple[FieldError, ...] = ()


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a command: `data` when it is done and committed, `error` when nothing was changed."""

    ok: bool
    data: Any = msgspec.UNSET
    error: CommandError | msgspec.UnsetType = msgspec.UNSET


class Refusal(msgspec.Struct, frozen=True):
    """The body of a CONNECT_ERROR packet."""

    message: str
    data: dict[str, Any]


def done(data: object) -> Ack:
    """Acknowledge a command."""
    return Ack(True, data)


def failed(error: DomainError) -> Ack:
    """Tell why a command was not done."""
    return Ack(
        False,
        error=CommandError(
            error.case.code,
            error.case.title,
            error.case.retryable,
            error.detail,
            None if error.retry_after is None else error.retry_after // timedelta(milliseconds=1),
            error.errors,
        ),
    )


def refusal(error: DomainError) -> Refusal:
    """Tell why a namespace was not joined."""
    return Refusal(error.case.title, {"code": error.case.code, "retryable": error.case.retryable})
