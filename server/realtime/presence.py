"""Who is there: active, idle or offline, over all devices of a person and all instances.

Every instance keeps the same picture, fed by `Present` messages. An instance repeats its own people every 20 s; what
was not repeated for 45 s is gone, so a killed instance leaves nobody online for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from uuid import UUID

import msgspec
import structlog

from server.core import clock
from server.core.errors import DomainError
from server.core.ports import LiveEvent
from server.realtime.connection import Connection
from server.realtime.hub import EVERY_INSTANCE, Farewell, Hello, Hub, Present

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
REFRESH_SECONDS = 20.0
EXPIRE_SECONDS = 44.0  # and a little, until the next look: people are told within 45
GRACE_SECONDS = 15.0
LOOK_SECONDS = 2.0
AT_ONCE = 500

RecordLastSeen = Callable[[Mapping[UUID, datetime]], Awaitable[None]]


class PresenceState(StrEnum):
    """How present a person is."""

    ACTIVE = "active"
    IDLE = "idle"
    OFFLINE = "offline"


class PersonPresence(msgspec.Struct, frozen=True):
    """One person's presence; `last_seen` is set when they are offline and it is known."""

    user_id: UUID
    state: PresenceState
    last_seen: datetime | None


class PresenceChanged(msgspec.Struct, frozen=True):
    """The people whose presence has changed."""

    users: list[PersonPresence]


def presence_topic(user_id: UUID) -> str:
    """Return the topic of one person's presence."""
    return f"presence:{user_id}"


class _Seen(msgspec.Struct):
    """What one instance last said of a person: their state until a moment of the loop's clock."""

    state: PresenceState
    until: float


class Presence:
    """The picture, the people of this instance in it, and the timer that keeps both true."""

    def __init__(self, hub: Hub, instance: str, changed: LiveEvent, record_last_seen: RecordLastSeen) -> None:
        self._hub = hub
        self._instance = instance
        self._changed = changed
        self._record_last_seen = record_last_seen
        self._here: dict[UUID, dict[str, PresenceState]] = {}
        self._leaving: dict[UUID, dict[str, float]] = {}
        self._everywhere: dict[UUID, dict[str, _Seen]] = {}
        self._elsewhere: set[UUID] = set()  # those of whom another instance has spoken
        self._is_asked = False
        self._last_seen: dict[UUID, datetime] = {}
        self._dirty: set[UUID] = set()
        hub.on(Present, self._apply)
        hub.on(Hello, self._hear_hello)
        hub.on(Farewell, self._part)

    def arrive(self, connection: Connection) -> None:
        """A person has opened a connection; one they have lost a moment ago needs no grace any more."""
        self.set(connection, PresenceState.ACTIVE)
        for connection_id in self._leaving.pop(connection.me.id, ()):
            self._drop(connection.me.id, connection_id)

    def set(self, connection: Connection, state: PresenceState) -> None:
        """A person says on one device that they are active or idle. One that is gone by now says nothing any more."""
        if not connection.is_open:
            return
        self._here.setdefault(connection.me.id, {})[connection.id] = state
        self._say(connection.me.id)

    def leave(self, connection: Connection, *, clean: bool) -> None:
        """A connection is closed: gone at once after a goodbye, else after a grace for a change of network."""
        if connection.id not in self._here.get(connection.me.id, ()):
            return
        if clean:
            self._drop(connection.me.id, connection.id)
        else:
            self._leaving.setdefault(connection.me.id, {})[connection.id] = _now() + GRACE_SECONDS

    def of(self, user_id: UUID, last_seen: datetime | None = None) -> PersonPresence:
        """Tell how present a person is; `last_seen` is what the database knows."""
        state = self._state(user_id)
        if state is not PresenceState.OFFLINE:
            return PersonPresence(user_id, state, None)
        return PersonPresence(user_id, state, self._last_seen.get(user_id, last_seen))

    async def run(self) -> None:
        """Keep the picture true until cancelled."""
        self._hub.publish(EVERY_INSTANCE, Hello())
        refresh_at = _now() + REFRESH_SECONDS
        look_at = _now() + LOOK_SECONDS
        try:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                self._end_grace()
                if _now() >= look_at:
                    look_at = _now() + LOOK_SECONDS
                    self._expire()
                if _now() >= refresh_at or self._is_asked:
                    refresh_at = _now() + REFRESH_SECONDS * random.uniform(0.9, 1.1)
                    self._is_asked = False
                    await self._repeat()
                await self._flush()
        finally:
            self._hub.publish(EVERY_INSTANCE, Farewell(self._instance))

    def _state(self, user_id: UUID) -> PresenceState:
        states = {seen.state for seen in self._everywhere.get(user_id, {}).values()}
        return next(
            (state for state in (PresenceState.ACTIVE, PresenceState.IDLE) if state in states), PresenceState.OFFLINE
        )

    def _own_state(self, user_id: UUID) -> PresenceState | None:
        states = set(self._here.get(user_id, {}).values())
        return next((state for state in (PresenceState.ACTIVE, PresenceState.IDLE) if state in states), None)

    def _say(self, user_id: UUID) -> None:
        """Tell all instances what this one knows of a person, when it is news."""
        own = self._own_state(user_id)
        said = self._everywhere.get(user_id, {}).get(self._instance)
        if own != (said and said.state):
            self._hub.publish(EVERY_INSTANCE, Present(self._instance, [(user_id, own, clock.now().timestamp())]))

    async def _repeat(self) -> None:
        """Tell the other instances who is here, in portions: nobody here waits behind ten thousand people."""
        people = list(self._here) if self._hub.has_others else []
        for start in range(0, len(people), AT_ONCE):
            at = clock.now().timestamp()
            states: list[tuple[UUID, str | None, float]] = [
                (user_id, self._own_state(user_id), at) for user_id in people[start : start + AT_ONCE]
            ]
            self._hub.publish_elsewhere(EVERY_INSTANCE, Present(self._instance, states))
            await asyncio.sleep(0)

    def _hear_hello(self, _: Hello) -> None:
        self._is_asked = True

    def _apply(self, message: Present) -> None:
        if message.instance != self._instance:
            self._elsewhere.update(user_id for user_id, _, _ in message.states)
        for user_id, state, at in message.states:
            before = self._state(user_id)
            seen = self._everywhere.setdefault(user_id, {})
            if state is None:
                seen.pop(message.instance, None)
            else:
                seen[message.instance] = _Seen(PresenceState(state), _now() + EXPIRE_SECONDS)
            self._settle(user_id, before, datetime.fromtimestamp(at, UTC))

    def _settle(self, user_id: UUID, before: PresenceState, at: datetime) -> None:
        if not self._everywhere.get(user_id):
            self._everywhere.pop(user_id, None)
        after = self._state(user_id)
        if after is before:
            return
        if after is PresenceState.OFFLINE:
            self._last_seen[user_id] = at
        else:
            self._last_seen.pop(user_id, None)
        self._dirty.add(user_id)

    def _part(self, message: Farewell) -> None:
        """The people of an instance that goes down have a grace to come back on another one."""
        for seen in self._everywhere.values():
            if message.instance in seen and message.instance != self._instance:
                seen[message.instance].until = _now() + GRACE_SECONDS

    def _drop(self, user_id: UUID, connection_id: str) -> None:
        states = self._here.get(user_id, {})
        states.pop(connection_id, None)
        if not states:
            self._here.pop(user_id, None)
        self._say(user_id)

    def _end_grace(self) -> None:
        now = _now()
        for user_id, leaving in list(self._leaving.items()):
            for connection_id in [id_ for id_, until in leaving.items() if until <= now]:
                del leaving[connection_id]
                self._drop(user_id, connection_id)
            if not leaving:
                self._leaving.pop(user_id, None)

    def _expire(self) -> None:
        """Forget what other instances have not repeated; what this one knows of its own people needs no repeating."""
        now = _now()
        for user_id in list(self._elsewhere):
            seen = self._everywhere.get(user_id, {})
            if not seen.keys() - {self._instance}:
                self._elsewhere.discard(user_id)
                continue
            late = [instance for instance, one in seen.items() if one.until <= now and instance != self._instance]
            if late:
                before = self._state(user_id)
                for instance in late:
                    del seen[instance]
                self._settle(user_id, before, clock.now())

    async def _flush(self) -> None:
        """Tell those who watch what has changed, and remember when somebody was last seen."""
        changed, self._dirty = self._dirty, set()
        for user_id in changed:
            now_present = self.of(user_id)
            self._hub.tell_here(presence_topic(user_id), self._changed, PresenceChanged([now_present]), at=clock.now())
        gone = dict(islice(self._last_seen.items(), AT_ONCE))
        if gone:
            await self._remember(gone)

    async def _remember(self, gone: dict[UUID, datetime]) -> None:
        """Hand over to the database when people were last seen; what it cannot take now is kept for the next time."""
        try:
            await self._record_last_seen(gone)
        except DomainError as away:
            log.warning("last_seen_not_recorded", code=away.case.code)
            return
        for user_id, at in gone.items():
            if self._last_seen.get(user_id) == at:
                del self._last_seen[user_id]


def _now() -> float:
    return asyncio.get_running_loop().time()
