"""Who may do what: one table of role and relation.

Writes `require(...)` in the action. Reads are filtered in SQL by who asks, so what you may not see is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from server.core.actor import Actor, Role
from server.core.errors import FORBIDDEN, UNAUTHENTICATED, DomainError


class Relation(StrEnum):
    """What the asker is to the thing asked for."""

    ANY = "any"
    SELF = "self"
    MEMBER = "member"


class Permission(StrEnum):
    """`area:thing:verb`."""

    READ_ME = "identity:me:read"
    UPDATE_ME = "identity:me:update"
    LOGOUT = "identity:session:logout"
    REFRESH_SESSION = "identity:session:refresh"
    CREATE_CONVERSATION = "chat:conversation:create"
    READ_CONVERSATION = "chat:conversation:read"
    SEND_MESSAGE = "chat:message:send"
    READ_MESSAGE = "chat:message:read"
    SET_TYPING = "chat:typing:set"
    SYNC = "chat:topic:sync"
    WATCH_PRESENCE = "chat:presence:watch"
    SET_PRESENCE = "chat:presence:set"


EVERY_ROLE = frozenset(Role)

GRANTS: Mapping[Permission, Mapping[Relation, frozenset[Role]]] = {
    Permission.READ_ME: {Relation.SELF: EVERY_ROLE},
    Permission.UPDATE_ME: {Relation.SELF: EVERY_ROLE},
    Permission.LOGOUT: {Relation.SELF: EVERY_ROLE},
    Permission.REFRESH_SESSION: {Relation.SELF: EVERY_ROLE},
    Permission.CREATE_CONVERSATION: {Relation.ANY: EVERY_ROLE},
    Permission.READ_CONVERSATION: {Relation.MEMBER: EVERY_ROLE},
    Permission.SEND_MESSAGE: {Relation.MEMBER: EVERY_ROLE},
    Permission.READ_MESSAGE: {Relation.MEMBER: EVERY_ROLE},
    Permission.SET_TYPING: {Relation.MEMBER: EVERY_ROLE},
    Permission.SYNC: {Relation.SELF: EVERY_ROLE},
    Permission.WATCH_PRESENCE: {Relation.MEMBER: EVERY_ROLE},
    Permission.SET_PRESENCE: {Relation.SELF: EVERY_ROLE},
}


def require(me: Actor, permission: Permission, relation: Relation = Relation.ANY) -> None:
    """Let the asker pass, or raise `unauthenticated` or `forbidden`."""
    if me.role is None:
        raise DomainError(UNAUTHENTICATED)
    granted = GRANTS[permission]
    if me.role not in granted.get(relation, ()) and me.role not in granted.get(Relation.ANY, ()):
        raise DomainError(FORBIDDEN, f"{permission} is not yours to do")
