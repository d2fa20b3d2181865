"""Pure decisions of identity."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from server.core.errors import INVALID, DomainError, FieldError
from server.core.zones import TIME_ZONES
from server.domain.identity.models import RefreshRow

RETRY_WINDOW = timedelta(seconds=10)
_TIME_ZONES = frozenset(TIME_ZONES)


def normal_email(email: str) -> str:
    """Return the address in its one normal form: nobody gives two people addresses that differ in case alone."""
    return email.lower()


def first_handle(name: str, user_id: UUID) -> str:
    """Make a handle for somebody who has not chosen one: the name, and enough of the id to be alone with it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", ".", plain).strip(".")[:40].rstrip(".")
    return f"{words or 'person'}-{user_id.hex[-8:]}"


def check_time_zone(name: str) -> None:
    """Raise `invalid` unless the IANA database knows the zone."""
    if name not in _TIME_ZONES:
        raise DomainError(INVALID, errors=(FieldError("/time_zone", "Expected an IANA time zone like Europe/Berlin"),))


class Spend(Enum):
    """What a refresh token is worth when it is shown."""

    ROTATE = auto()
    REFUSE = auto()
    THEFT = auto()


def spend(token: RefreshRow | None, now: datetime) -> Spend:
    """Decide on a refresh token (RFC 9700 section 4.14.2: rotation, with reuse detection).

    A token works once. Its second use within ten seconds is a lost answer that is asked for again, as long as
    nobody has used the answer; any other second use means that somebody else has it. So does the use of an answer
    that was asked for again: it was not lost, and two parties hold the token before it.
    """
    if token is None or token.expires_at <= now:
        return Spend.REFUSE
    if token.revoked_at is not None:
        return Spend.THEFT if token.is_displaced else Spend.REFUSE
    if token.replaced_at is None:
        return Spend.ROTATE
    if now - token.replaced_at <= RETRY_WINDOW and not token.successor_spent:
        return Spend.ROTATE
    return Spend.THEFT
