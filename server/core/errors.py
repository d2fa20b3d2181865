"""Everything that can go wrong on purpose.

An `ErrorCase` is one line of the catalogue: a stable code, a kind that decides the HTTP status, and a title a
person can act on. Areas declare their cases in `models.py`; REST and sockets answer with the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """The seven ways to fail."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field; `pointer` is a JSON pointer into the body, query or path."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """One catalogued failure. `advice` is the sentence its page shows to a developer."""

    code: str
    kind: Kind
    title: str
    advice: str = ""

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later without a change."""
        return self.kind in {Kind.TOO_MANY, Kind.UNAVAILABLE}


class DomainError(Exception):
    """A catalogued failure, raised: the work is undone and the asker is told which case it is.

    With `stands` the work is kept although the asker is refused: a stolen token closes its session.
    """

    def __init__(
        self,
        case: ErrorCase,
        detail: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: timedelta | None = None,
        stands: bool = False,
    ) -> None:
        super().__init__(detail or case.title)
        self.case = case
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after
        self.stands = stands


class LostRace(Exception):
    """Somebody else did the same at the same moment. A second try, in a new transaction, sees what they did."""


INVALID = ErrorCase(
    "invalid", Kind.INVALID, "Some fields are not valid", "`errors` lists every field that is wrong; mend all of them."
)
MALFORMED = ErrorCase(
    "malformed", Kind.INVALID, "The body is not valid JSON", "Send UTF-8 JSON with `Content-Type: application/json`."
)
UNAUTHENTICATED = ErrorCase(
    "unauthenticated",
    Kind.UNAUTHENTICATED,
    "Sign in first",
    "Send `Authorization: Bearer <access token>`; refresh it when it has expired.",
)
FORBIDDEN = ErrorCase("forbidden", Kind.FORBIDDEN, "You may not do that", "Your role does not include this.")
NOT_FOUND = ErrorCase("not_found", Kind.NOT_FOUND, "There is nothing here", "Check the path and the method's name.")
UNAVAILABLE = ErrorCase(
    "unavailable",
    Kind.UNAVAILABLE,
    "We cannot answer right now",
    "Nothing was changed, or it cannot be told whether it was: repeat the request with the same ids.",
)
INTERNAL = ErrorCase(
    "internal",
    Kind.UNAVAILABLE,
    "Something went wrong on our side",
    "It has been written down under the request id; repeat the request with the same ids.",
)
UNKNOWN_COMMAND = ErrorCase(
    "unknown_command", Kind.NOT_FOUND, "There is no such command", "docs/realtime.md lists the commands."
)
