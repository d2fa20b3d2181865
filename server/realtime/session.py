"""/: the session itself, catching up after a gap, presence, the badge."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from server.core.limits import Limited
from server.core.permissions import Permission
from server.core.ports import Shedding, World
from server.domain.chat import actions as chat
from server.domain.chat.models import Conversation, ConversationCreated, MessageRead, Seq, Sync, SyncAnswer
from server.domain.chat.rules import topic_of
from server.domain.identity.models import SESSION_ENDED, TOKEN_EXPIRED, TOKEN_INVALID, SessionRevoked, User
from server.realtime import typing
from server.realtime.connection import Connection, user_topic
from server.realtime.namespace import Namespace
from server.realtime.presence import PersonPresence, PresenceChanged, PresenceState, presence_topic

MAX_WATCHED = 500


class Limits(msgspec.Struct, frozen=True):
    """What a client must keep to."""

    max_frame_bytes: int
    text_length: int = 4000
    sync_topics: int = 1000
    sync_events: int = 300
    watched_people: int = MAX_WATCHED


class TypingTimes(msgspec.Struct, frozen=True):
    """When to say `set_typing` again, when to stop, and when it ends by itself. Milliseconds."""

    resend_ms: int = typing.RESEND_SECONDS * 1000
    idle_ms: int = typing.IDLE_SECONDS * 1000
    expire_ms: int = typing.EXPIRE_SECONDS * 1000


class Ready(msgspec.Struct, frozen=True):
    """The first event of a session."""

    protocol: int
    session_id: str
    user: User
    server_time: datetime
    heartbeat_ms: int
    limits: Limits
    typing: TypingTimes = TypingTimes()


class Closing(msgspec.Struct, frozen=True):
    """The server is about to close this connection, and whether to come back."""

    code: str
    reconnect: bool
    retry_after_ms: int


class Expiring(msgspec.Struct, frozen=True):
    """The access token ends soon: send a new one with `refresh_session`."""

    seconds_left: int


class RefreshSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new access token of the same person."""

    token: Annotated[str, Meta(max_length=4096)]


class SessionRefreshed(msgspec.Struct, frozen=True):
    """How long the new token lasts."""

    seconds_left: int


class SyncTick(msgspec.Struct, frozen=True):
    """The last seq of topics you hear; `sync` those in which you are behind."""

    heads: dict[str, Seq]


class BadgeChanged(msgspec.Struct, frozen=True):
    """All unread messages of the person."""

    total: int


class ConversationChanged(msgspec.Struct, frozen=True):
    """A conversation is new for this person."""

    conversation: Conversation


class WatchPresence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose presence one wants to hear of. People one shares no conversation with are left out."""

    user_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_WATCHED)]


class SetPresence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How present one is on this device."""

    state: Literal["active", "idle"]


# What clients may say.

namespace = Namespace("/", "The session: catching up, presence, the badge.")


@namespace.command(needs=Permission.SYNC, limited=Limited.SYNC)
async def on_sync(connection: Connection, body: Sync) -> SyncAnswer:
    """Catch up: send the last seq of every topic you know, get what you missed. Join your namespaces first."""
    await connection.live.settled()  # what is said from here on is heard, what was said before is read
    async with connection.snapshot() as tx:
        return await chat.sync(tx, body)


@namespace.command(needs=Permission.REFRESH_SESSION, errors=(TOKEN_EXPIRED, TOKEN_INVALID, SESSION_ENDED))
async def on_refresh_session(connection: Connection, body: RefreshSession) -> SessionRefreshed:
    """Stay signed in with a new access token, on the open connection."""
    await connection.sockets.renew(connection, body.token)
    return SessionRefreshed(connection.seconds_left)


@namespace.command(needs=Permission.WATCH_PRESENCE)
async def on_watch_presence(connection: Connection, body: WatchPresence) -> PresenceChanged:
    """Hear of people's presence from now on, and learn it as it is."""
    async with connection.read() as tx:
        known = await chat.list_acquaintances(tx, body.user_ids)
    for person in known:
        connection.live.hub.join_here(connection, presence_topic(person.user_id))
    presence = connection.live.presence
    return PresenceChanged([presence.of(person.user_id, person.last_seen_at) for person in known])


@namespace.command(needs=Permission.SET_PRESENCE)
def on_set_presence(connection: Connection, body: SetPresence) -> PersonPresence:
    """Say on this device that one is active or idle."""
    connection.live.presence.set(connection, PresenceState(body.state))
    return connection.live.presence.of(connection.me.id)


# What clients are told.

SESSION_READY = namespace.event("session.ready", Ready, "The session stands; always the first event.")
SESSION_EXPIRING = namespace.event(
    "session.expiring", Expiring, "The token ends within a minute; half a minute after its end the connection does."
)
SESSION_CLOSING = namespace.event("session.closing", Closing, "The server closes this connection next.")
SYNC_TICK = namespace.event(
    "sync.tick",
    SyncTick,
    "How far your topics have come, every half minute and after trouble: a lost last event heals.",
)
PRESENCE_CHANGED = namespace.event(
    "presence.changed", PresenceChanged, "People you watch came, went or idled.", shedding=Shedding.VOLATILE
)
BADGE_CHANGED = namespace.event(
    "badge.changed",
    BadgeChanged,
    "You have read something, maybe on another device. New messages add one by themselves.",
)
CONVERSATION_CHANGED = namespace.event(
    "conversation.changed", ConversationChanged, "You are in a new conversation, and hear it from now on."
)


async def tell_conversation(world: World, _: UUID, event: ConversationCreated) -> None:
    """Let the members of a new conversation hear it, and show it to each as they see it."""
    for member_id in event.member_ids:
        world.live.join(member_id, topic_of(event.conversation_id))
        async with world.read(member_id) as tx:
            conversation = await chat.show_conversation(tx, event.conversation_id)
        changed = ConversationChanged(conversation)
        world.live.tell(user_topic(member_id), CONVERSATION_CHANGED, changed, at=conversation.created_at)


async def tell_badge(world: World, _: UUID, event: MessageRead) -> None:
    """Show a person on all devices what is left unread."""
    changed = BadgeChanged(event.receipt.badge)
    world.live.tell(user_topic(event.receipt.user_id), BADGE_CHANGED, changed, at=event.receipt.read_at)


async def close_session(world: World, _: UUID, event: SessionRevoked) -> None:
    """Close the connections of a session that has ended."""
    world.live.close(event.session_id, event.user_id, event.reason)
