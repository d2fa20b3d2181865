"""Signed tokens: who somebody is for 15 minutes, and the right to ask again for 7 days. JWT, RFC 7519, HS256."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import jwt
import msgspec

from server.core.actor import Role
from server.core.ids import new_id

ISSUER = "fitsync-user-service"
AUDIENCE = "fitsync-api"
ALGORITHM = "HS256"
ACCESS_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=7)
LEEWAY = timedelta(seconds=10)

C = TypeVar("C", bound=msgspec.Struct)


class AccessClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an access token says. `iat` and `exp` are seconds since 1970."""

    id: UUID
    email: str
    role: Role
    gym_id: UUID | None
    sid: UUID
    jti: UUID
    iat: int
    exp: int
    iss: str
    aud: str


class RefreshClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a refresh token says. Only its hash is stored."""

    type: Literal["refresh"]
    id: UUID
    jti: UUID
    iat: int
    exp: int


class BadToken(Exception):
    """Not one of our tokens, or not valid any more."""


class ExpiredToken(BadToken):
    """It was one of ours; its time is over."""


class Tokens:
    """Signs with the first secret and accepts all of them, so that a secret can be replaced without sign-outs."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._keys = {_key_id(secret): _key(secret) for secret in secrets}
        self._current = _key_id(secrets[0])

    def access(
        self, *, user_id: UUID, email: str, role: Role, gym_id: UUID | None, session_id: UUID, now: datetime
    ) -> str:
        """Sign an access token that is valid from `now` for 15 minutes."""
        issued, expires = _seconds(now), _seconds(now + ACCESS_LIFE)
        return self._sign(
            AccessClaims(user_id, email, role, gym_id, session_id, new_id(), issued, expires, ISSUER, AUDIENCE)
        )

    def refresh(self, *, user_id: UUID, now: datetime) -> str:
        """Sign a refresh token that is valid from `now` for 7 days."""
        return self._sign(RefreshClaims("refresh", user_id, new_id(), _seconds(now), _seconds(now + REFRESH_LIFE)))

    def read_access(self, token: str) -> AccessClaims:
        """Check an access token; BadToken or ExpiredToken when it is not to be trusted."""
        return self._read(token, AccessClaims, {"audience": AUDIENCE, "issuer": ISSUER})

    def read_refresh(self, token: str) -> RefreshClaims:
        """Check a refresh token; BadToken or ExpiredToken when it is not to be trusted."""
        return self._read(token, RefreshClaims, {})

    def _sign(self, claims: msgspec.Struct) -> str:
        return jwt.encode(
            msgspec.to_builtins(claims), self._keys[self._current], ALGORITHM, headers={"kid": self._current}
        )

    def _read(self, token: str, type_: type[C], expected: dict[str, Any]) -> C:
        # The key comes from our own map and the algorithm is fixed: nothing in the token chooses how it is checked.
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "jti"], "verify_sub": False},
                **expected,
            )
            return msgspec.convert(claims, type_)
        except jwt.ExpiredSignatureError:
            raise ExpiredToken from None
        except (jwt.InvalidTokenError, msgspec.ValidationError, KeyError, UnicodeEncodeError) as bad:
            raise BadToken(str(bad)) from None


def token_hash(token: str) -> bytes:
    """Return what is stored of a token: its SHA-256. It is random enough to need no salt."""
    return hashlib.sha256(token.encode()).digest()


def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"fitsync token signing", "sha256")


def _key_id(secret: str) -> str:
    return hmac.digest(secret.encode(), b"fitsync key id", "sha256").hex()[:16]


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
