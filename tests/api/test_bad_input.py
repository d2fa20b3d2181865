"""Bad input: the right status and code each, every fault named, nothing changed, no traceback in the log."""

from __future__ import annotations

import asyncio
import io
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from server.core import clock
from server.core.config import Config
from server.core.ids import new_id
from server.core.tokens import Tokens
from tests.databases import copied_database
from tests.given import Given, Person
from tests.servers import Server, Servers
from tests.waiting import eventually

CHECKSUM = "SELECT '{table}' AS name, count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t"
BIG = 300 * 1024
DEEP = 40_000


@dataclass(frozen=True)
class Stage:
    """A server that nobody else uses, with two people who talk and one who may not listen."""

    server: Server
    cleo: Person
    mallory: Person
    places: dict[str, str]

    async def checksum(self) -> list[Any]:
        """Return what changes as soon as anything in any table does."""
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self.server.config.database_url)
        try:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            return [await connection.fetchrow(CHECKSUM.format(table=name)) for (name,) in tables]
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def stage(config: Config, http: Any, postgres_url: str, worker: str) -> AsyncIterator[Stage]:
    async with copied_database(postgres_url, worker) as database_url:
        servers = Servers(config, http)
        server = await servers.start(database_url=database_url, redis_url="")
        given = Given(server.database, server.tokens)
        cleo, tara, mallory = await given.a_client(), await given.a_trainer(), await given.a_client("Mallory")
        talk = await given.a_conversation(cleo, tara)
        message = await given.a_message(talk, tara)
        places = {"talk": str(talk.id), "message": str(message.id), "tara": str(tara.id), "nowhere": str(new_id())}
        await settled(server)
        yield Stage(server, cleo, mallory, places)
        await servers.stop_all()


async def settled(server: Server) -> None:
    """Wait until the relay has told what setting the stage has caused."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(server.config.database_url)

    async def is_told() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM outbox")

    await eventually(is_told)
    await connection.close()


@dataclass(frozen=True)
class Bad:
    """A request, and how it must be refused. `{talk}` and other places are filled in; `who` is nobody when empty."""

    method: str
    path: str
    status: int
    code: str
    body: object = None
    raw: bytes | None = None
    who: str = "cleo"
    headers: dict[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] | None = None


A_JOIN = {"email": "zoe@people.test", "password": "long enough", "name": "Zoe"}
A_TEXT = {"client_id": str(new_id()), "text": "Hello"}
JOIN, SEND, ME, OPEN = "/auth/register", "/conversations/{talk}/messages", "/users/me", "/conversations"
JSON = {"Content-Type": "application/json"}


def invalid(method: str, path: str, body: object, *wrong: str, who: str = "cleo") -> Bad:
    return Bad(method, path, 422, "invalid", body, who=who, wrong=tuple(sorted(wrong)))


def malformed(raw: bytes, method: str = "POST", path: str = SEND) -> Bad:
    return Bad(method, path, 422, "malformed", raw=raw, headers=JSON)


CASES: dict[str, Bad] = {
    # What is no JSON.
    "an empty body": malformed(b""),
    "half a body": malformed(b'{"text": '),
    "JSON and then more": malformed(b"{} {}"),
    "single quotes": malformed(b"{'text': 'x'}"),
    "bytes that are no UTF-8": malformed(b'{"text": "\xff\xfe"}'),
    "half a surrogate pair": malformed(b'{"text": "\\ud800", "client_id": "x"}'),
    "the other half": malformed(b'{"text": "\\udc00"}'),
    "half a pair as a name": malformed(b'{"\\ud800": 1}'),
    "a byte order mark": malformed(b"\xef\xbb\xbf{}"),
    "a list nested deeply": malformed(b"[" * DEEP),
    "an object nested deeply": malformed(b'{"a":' * DEEP + b"1" + b"}" * DEEP, "PUT", ME),
    "a number without end": malformed(b'{"text": ' + b"9" * 5000 + b"}"),
    "a number beyond all": malformed(b'{"text": 1e999}'),
    "not a number": malformed(b'{"text": NaN}'),
    # JSON of the wrong shape.
    "a list": invalid("POST", SEND, [A_TEXT], ""),
    "a text": invalid("POST", SEND, "Hello", ""),
    "null": Bad("POST", SEND, 422, "invalid", raw=b"null", headers=JSON, wrong=("",)),
    "nothing that is needed": invalid("POST", JOIN, {}, "/email", "/password", "/name", who=""),
    "wrong types everywhere": invalid(
        "POST",
        JOIN,
        {"email": 1, "password": [], "name": {}, "id": 7, "role": None},
        *("/email", "/password", "/name", "/id", "/role"),
        who="",
    ),
    "wrong types and unknown fields at once": invalid(
        "POST", JOIN, A_JOIN | {"name": 5, "is_admin": True, "a/b": 1}, "/name", "/is_admin", "/a~1b", who=""
    ),
    "an unknown field in a message": invalid("POST", SEND, A_TEXT | {"seq": 1}, "/seq"),
    "an unknown field in a change": invalid("PUT", ME, {"bio": "x", "role": "admin"}, "/role"),
    "null where a change leaves out": invalid("PUT", ME, {"name": None, "bio": None}, "/name", "/bio"),
    "no kind": Bad("POST", OPEN, 422, "invalid", {"member_ids": ["{tara}"]}),
    "an unknown kind": invalid("POST", OPEN, {"kind": "circle", "member_ids": []}, "/kind"),
    "a direct conversation of three": invalid(
        "POST", OPEN, {"kind": "direct", "member_ids": ["{tara}", "{nowhere}"]}, "/member_ids"
    ),
    "a direct conversation with a name": invalid(
        "POST", OPEN, {"kind": "direct", "member_ids": ["{tara}"], "name": "x"}, "/name"
    ),
    "a group without a name": invalid("POST", OPEN, {"kind": "group", "member_ids": ["{tara}"]}, "/name"),
    "a group of nobody": invalid("POST", OPEN, {"kind": "group", "name": "x", "member_ids": []}, "/member_ids"),
    "a group of far too many": invalid(
        "POST", OPEN, {"kind": "group", "name": "x", "member_ids": ["{tara}"] * 256}, "/member_ids"
    ),
    "members that are no ids": invalid(
        "POST",
        OPEN,
        {"kind": "group", "name": "x", "member_ids": ["me", "{tara}", 7]},
        *("/member_ids/0", "/member_ids/2"),
    ),
    # Texts.
    "an empty text": invalid("POST", SEND, A_TEXT | {"text": ""}, "/text"),
    "a blank text": invalid("POST", SEND, A_TEXT | {"text": " \n\t\u2003"}, "/text"),
    "a text too long": invalid("POST", SEND, A_TEXT | {"text": "x" * 4001}, "/text"),
    "a NUL in a text": invalid("POST", SEND, A_TEXT | {"text": "a\x00b"}, "/text"),
    "a NUL in a name": invalid("PUT", ME, {"name": "Cleo\x00"}, "/name"),
    "a line break in a name": invalid("PUT", ME, {"name": "Cleo\nClient"}, "/name"),
    "a line break after a name": invalid("PUT", ME, {"name": "Cleo\n"}, "/name"),
    "a line break after a handle": invalid("PUT", ME, {"handle": "cleo\n"}, "/handle"),
    "a handle with a blank": invalid("PUT", ME, {"handle": "cleo c"}, "/handle"),
    "a language that is a sentence": invalid("PUT", ME, {"locale": "English please"}, "/locale"),
    "an address without an at": invalid("POST", JOIN, A_JOIN | {"email": "zoe.people.test"}, "/email", who=""),
    "a refresh token with blanks": invalid("POST", "/auth/refresh", {"refresh_token": "a b"}, "/refresh_token", who=""),
    # Ids, paths and queries.
    "an id that is none": Bad("GET", "/conversations/1", 422, "invalid", wrong=("/conversation_id",)),
    "an id with a NUL": Bad("GET", "/conversations/%00", 422, "invalid", wrong=("/conversation_id",)),
    "an id that is no UTF-8": Bad("GET", "/conversations/%ff", 422, "invalid", wrong=("/conversation_id",)),
    "an unknown conversation": Bad("GET", "/conversations/{nowhere}", 404, "chat.conversation_not_found"),
    "an unknown message": Bad("PUT", "/messages/{nowhere}/read", 404, "chat.message_not_found"),
    "a message as a conversation": Bad("GET", "/conversations/{message}", 404, "chat.conversation_not_found"),
    "a conversation with nobody who is there": Bad(
        "POST", OPEN, 404, "chat.person_not_found", {"kind": "direct", "member_ids": ["{nowhere}"]}
    ),
    "an unknown path": Bad("GET", "/conversation", 404, "not_found"),
    "an unknown path that is no UTF-8": Bad("GET", "/%ff%00", 404, "not_found"),
    "a page of none": Bad("GET", "/conversations?limit=0", 422, "invalid", wrong=("/limit",)),
    "a page of all": Bad("GET", "/conversations?limit=101", 422, "invalid", wrong=("/limit",)),
    "a page of words": Bad("GET", "/conversations?limit=ten", 422, "invalid", wrong=("/limit",)),
    "two sizes of a page": Bad("GET", "/conversations?limit=1&limit=2", 422, "invalid", wrong=("/limit",)),
    "an unknown parameter": Bad("GET", "/conversations?limit=1&sort=up", 422, "invalid", wrong=("/sort",)),
    "a parameter where there is none": Bad("GET", "/users/me?id=1", 422, "invalid", wrong=("/id",)),
    "a parameter beside a body": Bad("POST", f"{SEND}?seq=1", 422, "invalid", A_TEXT, wrong=("/seq",)),
    "a parameter that is no UTF-8": Bad("GET", "/users/me?%ff=1", 422, "invalid", wrong=("/\ufffd",)),
    "a cursor of nonsense": Bad("GET", "/conversations?cursor=abc", 422, "invalid", wrong=("/cursor",)),
    "a cursor and a line break": Bad("GET", "/conversations?cursor=1_{talk}%0A", 422, "invalid", wrong=("/cursor",)),
    "a cursor of quotes": Bad("GET", f"{SEND}?cursor=1%27%20OR%201=1", 422, "invalid", wrong=("/cursor",)),
    "a seq below the first": Bad("GET", f"{SEND}?after=-1", 422, "invalid", wrong=("/after",)),
    "a seq beyond all": Bad("GET", f"{SEND}?before={2**64}", 422, "invalid", wrong=("/before",)),
    "a seq that is null": Bad("GET", f"{SEND}?before=null", 422, "invalid", wrong=("/before",)),
    "cursors that are none": Bad("GET", "/sync?cursors=%0A", 422, "invalid", wrong=("/cursors",)),
    # What is somebody else's.
    "a foreign conversation": Bad("GET", "/conversations/{talk}", 404, "chat.conversation_not_found", who="mallory"),
    "foreign messages": Bad("GET", SEND, 404, "chat.conversation_not_found", who="mallory"),
    "a message to a foreign conversation": Bad("POST", SEND, 404, "chat.conversation_not_found", A_TEXT, who="mallory"),
    "a foreign message": Bad("PUT", "/messages/{message}/read", 404, "chat.message_not_found", who="mallory"),
    # Whoever cannot say who they are.
    "nobody": Bad("GET", ME, 401, "unauthenticated", who=""),
    "nobody, with a body that is wrong too": Bad("POST", SEND, 401, "unauthenticated", raw=b"{", who="", headers=JSON),
    "a word as a token": Bad("GET", ME, 401, "identity.token_invalid", who="word"),
    "an expired token": Bad("GET", ME, 401, "identity.token_expired", who="late"),
    "a tampered token": Bad("PUT", ME, 401, "identity.token_invalid", {"bio": "x"}, who="forger"),
    "a token without a signature": Bad("PUT", ME, 401, "identity.token_invalid", {"bio": "x"}, who="unsigned"),
    "a refresh token as an access token": Bad("GET", ME, 401, "identity.token_invalid", who="refresher"),
    "a token nested deeply": Bad("GET", ME, 401, "identity.token_invalid", who="digger"),
    # Bodies that are not read.
    "a body that is too large": Bad("POST", SEND, 413, "body_too_large", raw=b" " * BIG, headers=JSON),
    "a body that says it is a form": Bad(
        "POST", SEND, 415, "not_json", raw=b"text=x", headers={"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "a body that says it is text": Bad("POST", SEND, 415, "not_json", raw=b"{}", headers={"Content-Type": "text/json"}),
    "a body that says nothing": Bad("POST", SEND, 415, "not_json", raw=b"{}", headers={"Content-Type": ""}),
    "a compressed body": Bad("POST", SEND, 415, "not_json", raw=b"{}", headers=JSON | {"Content-Encoding": "gzip"}),
    "no body at all": Bad("POST", "/auth/login", 415, "not_json", who=""),
    # Methods.
    "a method the path has not": Bad("DELETE", ME, 405, "method_not_allowed"),
    "a method the path has not, from nobody": Bad("PATCH", OPEN, 405, "method_not_allowed", who=""),
}

TOKENS: dict[str, Callable[[Stage], str]] = {
    "": lambda _: "",
    "cleo": lambda stage: stage.cleo.access_token,
    "mallory": lambda stage: stage.mallory.access_token,
    "word": lambda _: "mellon",
    "late": lambda stage: an_old_token(stage.cleo, stage.server.tokens),
    "forger": lambda stage: tampered(stage.cleo.access_token),
    "unsigned": lambda stage: unsigned(stage.cleo.access_token),
    "refresher": lambda stage: stage.cleo.refresh_token,
    "digger": lambda stage: f"{base64(b'[' * 4000)}.{stage.cleo.access_token.partition('.')[2]}",
}


def base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def an_old_token(cleo: Person, tokens: Tokens) -> str:
    assert cleo.actor.session_id
    return tokens.access(
        user_id=cleo.id,
        email=cleo.email,
        role=cleo.user.role,
        gym_id=None,
        session_id=cleo.actor.session_id,
        now=clock.now() - timedelta(minutes=16),
    )


def tampered(token: str) -> str:
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def unsigned(token: str) -> str:
    header = base64(b'{"alg":"none","typ":"JWT"}')
    return f"{header}.{token.split('.')[1]}."


def filled(value: Any, places: dict[str, str]) -> Any:
    """Put the ids of the stage where their names stand."""
    if isinstance(value, str):
        for name, id_ in places.items():
            value = value.replace(f"{{{name}}}", id_)
        return value
    if isinstance(value, dict):
        return {key: filled(part, places) for key, part in value.items()}
    return [filled(part, places) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES)
async def test_bad_input_is_refused_and_changes_nothing(stage: Stage, printed: io.StringIO, bad: Bad) -> None:
    before = await stage.checksum()
    api = stage.server.as_(TOKENS[bad.who](stage))
    options = {"json": filled(bad.body, stage.places)} if bad.raw is None else {"data": bad.raw}
    answer = await api.send(bad.method, filled(bad.path, stage.places), headers=bad.headers, **options)
    assert (answer.status, answer.code) == (bad.status, bad.code), answer.body
    if bad.wrong is not None:
        assert answer.wrong_fields == sorted(bad.wrong), answer.body
    assert answer.body["type"] == f"/problems/{bad.code}"
    assert (answer.body["status"], answer.body["retryable"]) == (bad.status, False)
    assert answer.headers["X-Request-Id"] == answer.body["request_id"]
    assert ("Allow" in answer.headers) is (bad.status == 405)
    assert ("WWW-Authenticate" in answer.headers) is (bad.status == 401)
    assert await stage.checksum() == before
    said = printed.getvalue()
    assert f'"status": {bad.status}' in said
    assert "Traceback" not in said
    assert '"level": "error"' not in said


# What no HTTP client would send.


async def converse(stage: Stage, raw: bytes, *, hang_up: bool = False) -> tuple[bytes, bytes]:
    """Send bytes; return the first line and the rest of what comes back before the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.url.rpartition(":")[2])
    writer.write(raw)
    await writer.drain()
    if hang_up:
        writer.close()
        return b"", b""
    line = await asyncio.wait_for(reader.readline(), 10)
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return line, rest


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers, b"", body])


LOGIN = b'{"email": "nobody@people.test", "password": "long enough"}'
LENGTH = b"Content-Length: %d" % len(LOGIN)
JSON_LINE = b"Content-Type: application/json"
POST_LOGIN = b"POST /api/v1/auth/login"

RAW: dict[str, tuple[bytes, bytes]] = {
    "not HTTP": (b"HELLO\r\n\r\n", b"400"),
    "a method that is none": (request(b"FOO /api/v1/users/me"), b"400"),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", b"400"),
    "a path of bytes": (request(b"GET /api/v1/\xff"), b"400"),
    "a query of bytes": (request(b"GET /api/v1/users/me?\xff=1"), b"400"),
    "a header without end": (request(b"GET /health", b"X: " + b"a" * 20_000), b"431"),
    "a path without end": (request(b"GET /" + b"a" * 20_000), b"431"),
    "two lengths": (request(POST_LOGIN, JSON_LINE, b"Content-Length: 1", b"Content-Length: 2"), b"400"),
    "a length and chunks": (request(POST_LOGIN, JSON_LINE, LENGTH, b"Transfer-Encoding: chunked"), b"400"),
    "chunks that are none": (request(POST_LOGIN, JSON_LINE, b"Transfer-Encoding: chunked", body=b"zz\r\n"), b"400"),
    "a token of bytes": (request(b"GET /api/v1/users/me", b"Authorization: Bearer a.\xff.b"), b"401"),
    "a scheme of bytes": (request(b"GET /api/v1/users/me", b"Authorization: \xff\xfe"), b"401"),
    "a browser's name of bytes": (request(POST_LOGIN, JSON_LINE, LENGTH, b"User-Agent: \xff", body=LOGIN), b"401"),
    "a request id of bytes": (request(b"GET /health", b"X-Request-Id: \xff\xff\xff\xff\xff\xff\xff\xff"), b"200"),
    "a type of bytes": (request(POST_LOGIN, b"Content-Type: \xff", LENGTH, body=LOGIN), b"415"),
    "an expectation nobody knows": (request(POST_LOGIN, JSON_LINE, LENGTH, b"Expect: cake", body=LOGIN), b"417"),
    "a way out of the page": (request(b"GET /page/%2e%2e/%2e%2e/etc/passwd"), b"404"),
}


@pytest.mark.parametrize(("raw", "status"), RAW.values(), ids=RAW)
async def test_what_no_client_would_send_is_refused_without_a_fuss(
    stage: Stage, printed: io.StringIO, raw: bytes, status: bytes
) -> None:
    before = await stage.checksum()
    line, rest = await converse(stage, raw)
    assert line.split()[1] == status, (line, rest)
    assert await stage.checksum() == before
    assert "Traceback" not in printed.getvalue()
    assert '"level": "error"' not in printed.getvalue()


async def test_a_client_that_hangs_up_in_the_middle_is_not_our_mistake(stage: Stage, printed: io.StringIO) -> None:
    before = await stage.checksum()
    half = request(POST_LOGIN, JSON_LINE, b"Content-Length: 500", body=b"{")
    await asyncio.gather(*(converse(stage, half, hang_up=True) for _ in range(5)))
    answer = await stage.server.get("/health")
    assert (answer.status, await stage.checksum()) == (200, before)
    assert "Traceback" not in printed.getvalue()
