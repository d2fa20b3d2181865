"""The words of identity."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.core.actor import Actor, Role
from server.core.errors import ErrorCase, Kind
from server.core.events import Event
from server.core.text import END, LINE, LINES_OR_NONE, ONE_LINE
from server.core.zones import TIME_ZONES

_MAILBOX = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TOP_HOST = r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z])?"

_EMAIL = rf"{_MAILBOX}(\.{_MAILBOX})*@({_HOST}\.)+{_TOP_HOST}{END}"

# Whatever fits is accepted; whether somebody reads it only a letter can tell. Names in other scripts as Punycode.
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=rf"^(?=[^@]{{1,64}}@){_EMAIL}",
        # The format says that at most 64 characters stand before the @; said twice it would slow every generator down.
        extra_json_schema={"format": "email", "pattern": f"^{_EMAIL}"},
        extra={"says": "Expected an e-mail address"},
    ),
]
Password = Annotated[
    str, Meta(min_length=8, max_length=128, pattern=r"^[^\x00]*$", extra_json_schema={"format": "password"})
]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=LINE, extra={"says": ONE_LINE})]
Handle = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=50,
        pattern=rf"^[a-zA-Z0-9][a-zA-Z0-9_.-]*{END}",
        extra={"says": "Expected letters, digits, dots, dashes and underscores, a letter or digit first"},
    ),
]
Bio = Annotated[str, Meta(max_length=1000, pattern=LINES_OR_NONE)]
TimeZone = Annotated[
    str,
    Meta(
        max_length=64,
        description="IANA time zone",
        examples=["Europe/Berlin"],
        extra_json_schema={"enum": TIME_ZONES},
    ),
]
Locale = Annotated[
    str,
    Meta(
        pattern=rf"^[a-z]{{2,3}}(-[A-Z]{{2}})?{END}",
        max_length=6,
        description="BCP 47",
        examples=["en"],
        extra={"says": "Expected a language like en or en-GB"},
    ),
]
Token = Annotated[
    str, Meta(min_length=1, max_length=4096, pattern=rf"^[A-Za-z0-9_.-]+{END}", extra={"says": "Expected a token"})
]

EMAIL_TAKEN = ErrorCase(
    "identity.email_taken", Kind.CONFLICT, "This e-mail address is already registered", "Sign in instead."
)
ID_TAKEN = ErrorCase("identity.id_taken", Kind.CONFLICT, "This id is already in use", "Make a new UUIDv7.")
HANDLE_TAKEN = ErrorCase("identity.handle_taken", Kind.CONFLICT, "This handle is taken", "Choose another one.")
WRONG_PASSWORD = ErrorCase(
    "identity.wrong_password",
    Kind.UNAUTHENTICATED,
    "The e-mail address or the password is wrong",
    "The answer is the same for an address that nobody has.",
)
TOKEN_EXPIRED = ErrorCase(
    "identity.token_expired",
    Kind.UNAUTHENTICATED,
    "The access token has expired",
    "Call `POST /api/v1/auth/refresh` and repeat the request.",
)
TOKEN_INVALID = ErrorCase(
    "identity.token_invalid", Kind.UNAUTHENTICATED, "The access token is not valid", "Sign in again."
)
SESSION_ENDED = ErrorCase("identity.session_ended", Kind.UNAUTHENTICATED, "This session has ended", "Sign in again.")
REFRESH_INVALID = ErrorCase(
    "identity.refresh_invalid", Kind.UNAUTHENTICATED, "The refresh token is not valid any more", "Sign in again."
)
REFRESH_REUSED = ErrorCase(
    "identity.refresh_reused",
    Kind.UNAUTHENTICATED,
    "The refresh token was used twice; the session is closed",
    "A refresh token works once. A second use means that two parties hold it, so both are signed out.",
)
REGISTRATION_CLOSED = ErrorCase(
    "identity.registration_closed",
    Kind.FORBIDDEN,
    "Trainers cannot register by themselves here",
    "An administrator can create the account.",
)


class OwnRole(StrEnum):
    """The roles a person may take by registering."""

    CLIENT = "client"
    TRAINER = "trainer"


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A registration."""

    email: Email
    password: Password
    name: Name
    id: UUID | None = None
    role: OwnRole = OwnRole.CLIENT


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in."""

    email: Email
    password: Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"format": "password"})]


class RefreshRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token to be spent."""

    refresh_token: Token


class ProfileChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person changes of their own profile; what is left out stays."""

    name: Name | UnsetType = UNSET
    handle: Handle | UnsetType = UNSET
    bio: Bio | UnsetType = UNSET
    time_zone: TimeZone | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET


class User(msgspec.Struct, frozen=True):
    """A person as they see themselves."""

    id: UUID
    email: str
    role: Role
    name: str
    handle: str
    bio: str
    time_zone: str
    locale: str
    gym_id: UUID | None
    created_at: datetime
    updated_at: datetime


class SignIn(msgspec.Struct, frozen=True):
    """The answer to a successful sign-in or refresh. Access lasts 15 minutes, refresh 7 days and works once."""

    user: User
    access_token: str
    refresh_token: str


class Login(msgspec.Struct, frozen=True):
    """What a sign-in is checked against."""

    id: UUID
    password_hash: str | None


class Origin(msgspec.Struct, frozen=True):
    """Where a sign-in comes from."""

    ip_address: str | None = None
    user_agent: str | None = None


class RefreshRow(msgspec.Struct, frozen=True):
    """One refresh token as it is stored.

    `successor_spent` says that the token that replaced it was used too; `is_displaced` that it is void because the
    token before it was used again, while the session lives on.
    """

    id: UUID
    family_id: UUID
    user_id: UUID
    expires_at: datetime
    replaced_at: datetime | None
    revoked_at: datetime | None
    successor_spent: bool
    is_displaced: bool = False


class SessionId(msgspec.Struct, frozen=True):
    """A sign-in session."""

    family_id: UUID


class ActorRow(msgspec.Struct, frozen=True):
    """Who a valid access token stands for, right now."""

    id: UUID
    role: Role
    gym_id: UUID | None

    def actor(self, session_id: UUID) -> Actor:
        return Actor(self.id, self.role, self.gym_id, session_id)


class UserRegistered(Event, frozen=True, kw_only=True, tag="user.registered"):
    """Somebody has joined."""

    user_id: UUID
    role: Role


class UserUpdated(Event, frozen=True, kw_only=True, tag="user.updated"):
    """Somebody changed their profile."""

    user_id: UUID


class SessionRevoked(Event, frozen=True, kw_only=True, tag="session.revoked"):
    """A sign-in session has ended before its time."""

    session_id: UUID
    user_id: UUID
    reason: str
