"""The verbs of identity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import UNSET

from server.core.actor import Actor, Role
from server.core.db import Tx
from server.core.errors import DomainError
from server.core.ids import new_id
from server.core.permissions import Permission, Relation, require
from server.core.queries import QueryFile
from server.core.tokens import REFRESH_LIFE, AccessClaims, BadToken, ExpiredToken, Tokens, token_hash
from server.domain.identity import rules
from server.domain.identity.models import (
    EMAIL_TAKEN,
    HANDLE_TAKEN,
    ID_TAKEN,
    REFRESH_INVALID,
    REFRESH_REUSED,
    SESSION_ENDED,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    ActorRow,
    Login,
    NewUser,
    Origin,
    ProfileChange,
    RefreshRow,
    SessionId,
    SessionRevoked,
    SignIn,
    User,
    UserRegistered,
    UserUpdated,
)

identity = QueryFile("identity")

FORGOTTEN_AT_ONCE = 5000


async def create_user(tx: Tx, new: NewUser, password_hash: str, role: Role) -> User:
    """Add a person. The same id or address a second time is a conflict."""
    user_id = new.id or new_id()
    user = await tx.one(
        User,
        identity.insert_user,
        raises={
            "users_pkey": DomainError(ID_TAKEN),
            "users_email_free": DomainError(EMAIL_TAKEN),
            "users_handle_free": DomainError(HANDLE_TAKEN),
        },
        id=user_id,
        email=rules.normal_email(new.email),
        password_hash=password_hash,
        role=role,
        name=new.name.strip(),
        handle=rules.first_handle(new.name, user_id),
        now=tx.now,
    )
    await tx.emit(UserRegistered(user_id=user.id, role=user.role))
    return user


async def register(tx: Tx, tokens: Tokens, new: NewUser, password_hash: str, origin: Origin) -> SignIn:
    """Let a person join, and sign them in."""
    user = await create_user(tx, new, password_hash, Role(new.role))
    return await _sign_in(tx, tokens, user, new_id(), new_id(), origin)


async def find_login(tx: Tx, email: str) -> Login | None:
    """Find what a sign-in is checked against."""
    return await tx.maybe(Login, identity.select_login, email=rules.normal_email(email))


async def login(tx: Tx, tokens: Tokens, user_id: UUID, origin: Origin) -> SignIn:
    """Open a sign-in session for a person who has proved who they are."""
    return await _sign_in(tx, tokens, await _user(tx, user_id), new_id(), new_id(), origin)


async def refresh(tx: Tx, tokens: Tokens, refresh_token: str, origin: Origin) -> SignIn:
    """Spend a refresh token for a new pair. A token that was spent before closes its session."""
    try:
        tokens.read_refresh(refresh_token)
    except BadToken:
        raise DomainError(REFRESH_INVALID) from None
    hashed = token_hash(refresh_token)
    await tx.run(identity.lock_session_of_token, token_hash=hashed)
    old = await tx.maybe(RefreshRow, identity.select_refresh_token, token_hash=hashed)
    decision = rules.spend(old, tx.now)
    if old is None or decision is rules.Spend.REFUSE:
        raise DomainError(REFRESH_INVALID)
    if decision is rules.Spend.THEFT:
        await _revoke(tx, old.family_id, old.user_id, "refresh_reused")
        raise DomainError(REFRESH_REUSED, stands=True)
    successor_id = new_id()
    renewed = await _sign_in(tx, tokens, await _user(tx, old.user_id), old.family_id, successor_id, origin)
    await tx.run(identity.retire_refresh_token, id=old.id, replaced_by=successor_id, now=tx.now)
    return renewed


async def logout(tx: Tx) -> None:
    """End the session the asker is signed in with; its sockets are closed everywhere."""
    require(tx.me, Permission.LOGOUT, Relation.SELF)
    if tx.me.session_id is not None:
        await _revoke(tx, tx.me.session_id, tx.me.id, "logout")


def read_claims(tokens: Tokens, access_token: str) -> AccessClaims:
    """Read an access token, or raise why it is not to be trusted; asks no database."""
    try:
        return tokens.read_access(access_token)
    except ExpiredToken:
        raise DomainError(TOKEN_EXPIRED) from None
    except BadToken:
        raise DomainError(TOKEN_INVALID) from None


async def authenticate(tx: Tx, claims: AccessClaims) -> Actor:
    """Tell whom an access token stands for, or raise that its session has ended."""
    row = await tx.maybe(ActorRow, identity.select_actor, user_id=claims.id, session_id=claims.sid)
    if row is None:
        raise DomainError(SESSION_ENDED)
    return row.actor(claims.sid)


async def show_me(tx: Tx) -> User:
    """Show a person their own profile."""
    require(tx.me, Permission.READ_ME, Relation.SELF)
    return await _user(tx, tx.me.id)


async def update_me(tx: Tx, change: ProfileChange) -> User:
    """Change one's own profile; what is left out stays."""
    require(tx.me, Permission.UPDATE_ME, Relation.SELF)
    if change.time_zone is not UNSET:
        rules.check_time_zone(change.time_zone)
    user = await tx.one(
        User,
        identity.update_profile,
        raises={"users_handle_free": DomainError(HANDLE_TAKEN)},
        id=tx.me.id,
        name=None if change.name is UNSET else change.name.strip(),
        handle=None if change.handle is UNSET else change.handle,
        bio=None if change.bio is UNSET else change.bio,
        time_zone=None if change.time_zone is UNSET else change.time_zone,
        locale=None if change.locale is UNSET else change.locale,
        now=tx.now,
    )
    await tx.emit(UserUpdated(user_id=user.id))
    return user


async def list_ended_sessions(tx: Tx, session_ids: list[UUID]) -> set[UUID]:
    """Of these sign-in sessions, list the ones that have ended."""
    ended = await tx.many(SessionId, identity.list_ended_sessions, ids=session_ids)
    return {session.family_id for session in ended}


async def record_last_seen(tx: Tx, seen: Mapping[UUID, datetime]) -> None:
    """Remember when people were last online; an earlier moment than the known one changes nothing."""
    await tx.run(identity.record_last_seen, ids=list(seen), moments=list(seen.values()))


async def _user(tx: Tx, user_id: UUID) -> User:
    return await tx.one(User, identity.select_user, id=user_id)


async def _sign_in(tx: Tx, tokens: Tokens, user: User, family_id: UUID, row_id: UUID, origin: Origin) -> SignIn:
    refresh_token = tokens.refresh(user_id=user.id, now=tx.now)
    await tx.run(
        identity.insert_session,
        id=row_id,
        family_id=family_id,
        user_id=user.id,
        token_hash=token_hash(refresh_token),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        now=tx.now,
        expires_at=tx.now + REFRESH_LIFE,
    )
    access_token = tokens.access(
        user_id=user.id, email=user.email, role=user.role, gym_id=user.gym_id, session_id=family_id, now=tx.now
    )
    return SignIn(user, access_token, refresh_token)


async def _revoke(tx: Tx, family_id: UUID, user_id: UUID, reason: str) -> None:
    await tx.run(identity.lock_session, family_id=family_id)
    ended = await tx.many(SessionId, identity.revoke_family, family_id=family_id, user_id=user_id, now=tx.now)
    if ended:
        await tx.emit(SessionRevoked(session_id=family_id, user_id=user_id, reason=reason))


async def forget_expired_sessions(tx: Tx) -> int:
    """Delete refresh tokens that expired a day ago or earlier, so many at a time; return how many."""
    before = tx.now - timedelta(days=1)
    return len(await tx.many(SessionId, identity.delete_expired_sessions, before=before, limit=FORGOTTEN_AT_ONCE))
