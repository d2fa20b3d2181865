"""Stock python-socketio on aiohttp, with its Redis manager when there is a Redis: what FitSync would be without its engine.

It runs as its guide shows, on uvloop, with websockets only. The work is that of `node/server.js`.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
import socketio
import uvloop
from aiohttp import web

SIGN_IN = """
SELECT id, email, role, name, handle
FROM users
WHERE id = $1 AND is_active
  AND EXISTS (SELECT FROM sessions WHERE family_id = $2 AND user_id = users.id AND revoked_at IS NULL)
"""
TOPICS = """
SELECT conversations.id
FROM conversation_participants AS mine JOIN conversations ON conversations.id = mine.conversation_id
WHERE mine.user_id = $1
ORDER BY conversations.last_message_at DESC LIMIT 200
"""
SEND = """
WITH head AS (
  UPDATE conversations SET last_seq = last_seq + 1, last_message_at = $6
  WHERE id = $1 AND EXISTS (SELECT FROM conversation_participants WHERE conversation_id = $1 AND user_id = $2)
  RETURNING last_seq
)
INSERT INTO messages (id, conversation_id, seq, sender_id, client_id, text, created_at)
SELECT $3, $1, head.last_seq, $2, $4, $5, $6 FROM head
RETURNING seq
"""


class People:
    """Who is behind an engine.io connection; namespaces of one connection share it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], secret: str) -> None:
        self._pool = pool
        self._secret = secret
        self.me: dict[str, dict[str, Any]] = {}

    async def sign_in(self, connection: str, token: str) -> None:
        claims = jwt.decode(
            token, self._secret, algorithms=["HS256"], audience="fitsync-api", issuer="fitsync-user-service"
        )
        row = await self._pool.fetchrow(SIGN_IN, UUID(claims["id"]), UUID(claims["sid"]))
        if row is None:
            raise socketio.exceptions.ConnectionRefusedError("session ended")
        topics = await self._pool.fetch(TOPICS, row["id"])
        me = {name: str(value) for name, value in row.items()}
        self.me[connection] = me | {"topics": [f"conversation:{topic['id']}" for topic in topics]}


class Session(socketio.AsyncNamespace):  # type: ignore[misc]
    """/: sign-in."""

    def __init__(self, people: People) -> None:
        super().__init__("/")
        self._people = people

    async def on_connect(self, sid: str, _environ: Any, auth: Any) -> None:
        connection = self.server.manager.eio_sid_from_sid(sid, "/")
        await self._people.sign_in(connection, auth["token"])
        me = self._people.me[connection]
        await self.emit("session.ready", {"topic": f"user:{me['id']}", "seq": None, "data": {"user": me}, "v": 1}, sid)


class Room(socketio.AsyncNamespace):  # type: ignore[misc]
    """A namespace whose members hear their conversations."""

    def __init__(self, path: str, people: People, pool: asyncpg.Pool[asyncpg.Record] | None) -> None:
        super().__init__(path)
        self._people = people
        self._pool = pool
        self._seqs: defaultdict[str, int] = defaultdict(int)

    def _me(self, sid: str) -> dict[str, Any]:
        return self._people.me[self.server.manager.eio_sid_from_sid(sid, self.namespace)]

    async def on_connect(self, sid: str, _environ: Any, _auth: Any) -> None:
        for topic in self._me(sid)["topics"]:
            await self.enter_room(sid, topic)

    async def on_disconnect(self, sid: str, _reason: str) -> None:
        self._people.me.pop(self.server.manager.eio_sid_from_sid(sid, self.namespace), None)

    async def on_send_message(self, sid: str, body: dict[str, Any]) -> dict[str, Any]:
        me, topic, now = self._me(sid), f"conversation:{body['conversation_id']}", datetime.now(UTC)
        if topic not in me["topics"]:
            return {"ok": False, "error": {"title": "not a member"}}
        id_ = uuid4()
        if self._pool is None:
            seq = self._seqs[topic] = self._seqs[topic] + 1
        else:
            ids = (UUID(body["conversation_id"]), UUID(me["id"]), id_, UUID(body["client_id"]))
            seq = await self._pool.fetchval(SEND, *ids, body["text"], now)
        message = {
            "id": str(id_),
            "conversation_id": body["conversation_id"],
            "seq": seq,
            "sender_id": me["id"],
            "client_id": body["client_id"],
            "text": body["text"],
            "created_at": now.isoformat(),
        }
        envelope = {"topic": topic, "seq": seq, "at": message["created_at"], "data": message, "v": 1}
        await self.emit("message.created", envelope, room=topic)
        return {"ok": True, "data": message}


async def main() -> None:
    """Serve until the process is ended."""
    redis_url = os.environ.get("REDIS_URL")
    manager = socketio.AsyncRedisManager(redis_url) if redis_url else None
    sockets = socketio.AsyncServer(
        async_mode="aiohttp", client_manager=manager, transports=["websocket"], cors_allowed_origins="*"
    )
    app = web.Application()
    sockets.attach(app)
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=10) as pool:
        people = People(pool, os.environ["JWT_SECRET"])
        sockets.register_namespace(Session(people))
        sockets.register_namespace(Room("/chat", people, pool))
        sockets.register_namespace(Room("/bench", people, None))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"]), backlog=4096).start()
        print(f"ready http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
