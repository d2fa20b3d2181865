"""The official JavaScript client from npm: connects, talks, loses its connection, and misses nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from server.core.ids import new_id
from tests.given import Given, Person
from tests.proxy import proxied
from tests.servers import Server
from tests.sockets.device import Json, opened, plain
from tests.waiting import eventually

pytestmark = pytest.mark.node

HERE = Path(__file__).parent / "js"
INSTALLED = HERE / "node_modules" / "installed.json"
INSTALL_SECONDS = 120

FORMATS = ("json", "msgpack")

OpenApp = Callable[..., Awaitable["App"]]


class App:
    """An app in a Node process."""

    def __init__(self, process: Process) -> None:
        self.news: list[Json] = []
        self._process = process

    async def listen(self) -> None:
        """Keep what the app says, until it ends."""
        assert self._process.stdout
        async for line in self._process.stdout:
            self.news.append(msgspec.json.decode(line))

    async def tell(self, command: str, **body: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(msgspec.json.encode({"command": command, "body": plain(body)}) + b"\n")
        await self._process.stdin.drain()

    async def says(self, news: str, count: int = 1) -> list[Json]:
        """Wait until the app has said something for the n-th time; return every time it did."""
        await eventually(lambda: len(self.all(news)) >= count, within=15)
        return self.all(news)

    def all(self, news: str) -> list[Json]:
        return [said for said in self.news if said["news"] == news]

    @property
    def shown(self) -> list[tuple[int, str]]:
        """The messages that the app shows, in the order in which it came to show them."""
        return [(said["seq"], said["text"]) for said in self.all("shown")]


@pytest.fixture(scope="session")
async def npm_packages() -> None:
    """Install what package-lock.json names, once: other workers wait for the one that does it."""
    lock_file = HERE / "package-lock.json"
    with lock_file.open() as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if INSTALLED.exists() and INSTALLED.read_bytes() == lock_file.read_bytes():
            return
        npm = await asyncio.create_subprocess_exec(
            "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=HERE, stdout=PIPE, stderr=PIPE
        )
        _, complaint = await asyncio.wait_for(npm.communicate(), INSTALL_SECONDS)
        assert npm.returncode == 0, complaint.decode()
        INSTALLED.write_bytes(lock_file.read_bytes())


@pytest.fixture
async def open_app(npm_packages: None) -> AsyncIterator[OpenApp]:
    """Return a function that opens an app of a person at an address; all are closed afterwards."""
    async with AsyncExitStack() as stack:

        async def open_one(url: str, person: Person, wire_format: str = "json") -> App:
            return await stack.enter_async_context(running_app(url, person, wire_format))

        yield open_one


@asynccontextmanager
async def running_app(url: str, person: Person, wire_format: str) -> AsyncIterator[App]:
    """Run an app for the length of a block; it ends by itself when asked to."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    process = await asyncio.create_subprocess_exec(
        "node", HERE / "client.js", url, wire_format, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    app = App(process)
    listening = asyncio.create_task(app.listen())
    try:
        assert process.stdin
        process.stdin.write(msgspec.json.encode({"token": person.access_token, "protocol": 1}) + b"\n")
        yield app
        await app.tell("stop")
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await listening
        assert process.stderr
        assert not (await process.stderr.read()).decode()
        await process.wait()


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_it_connects_sends_is_acked_and_receives(
    server: Server, elsewhere: Server, given: Given, open_app: OpenApp, wire_format: str
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    app = await open_app(server.url, cleo, wire_format)
    (ready,) = await app.says("ready")
    assert (ready["envelope"]["topic"], ready["envelope"]["data"]["user"]["id"]) == (f"user:{cleo.id}", str(cleo.id))
    await app.says("whole")
    async with opened(elsewhere.url, tara.access_token) as hers:
        client_id = new_id()
        await app.tell("send_message", conversation_id=talk.id, client_id=client_id, text="Same time? 🏋️")
        (acked,) = await app.says("acked")
        assert acked["ack"]["ok"]
        assert acked["ack"]["data"]["client_id"] == str(client_id)
        assert (await hers.hears("message.created")).data == acked["ack"]["data"]
        await hers.send(talk.id, "Half past six")
        await app.says("shown", 2)
        assert app.shown == [(1, "Same time? 🏋️"), (2, "Half past six")]
        assert {said["from"] for said in app.all("shown")} == {"live"}
        await app.tell("send_message", conversation_id=talk.id, client_id="7", text="")
        refused = (await app.says("acked", 2))[1]["ack"]
        assert (refused["ok"], refused["error"]["code"], len(refused["error"]["errors"])) == (False, "invalid", 2)


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_after_a_cut_it_comes_back_by_itself_and_gets_what_it_missed_once_and_in_order(
    server: Server, given: Given, open_app: OpenApp, wire_format: str
) -> None:
    cleo, tara = await given.a_client(), await given.a_trainer()
    talk = await given.a_conversation(cleo, tara)
    async with proxied(server.url) as road, opened(server.url, tara.access_token) as hers:
        app = await open_app(road.url, cleo, wire_format)
        await app.says("whole")
        await hers.send(talk.id, "Before")
        await app.says("shown")
        for times in (1, 2):
            road.refuses = True
            road.cut()
            cut = await app.says("cut", times)
            assert cut[-1]["reason"] in {"transport close", "transport error"}
            for number in range(5):
                await hers.send(talk.id, f"Missed {times}.{number}")
            road.refuses = False
            await app.says("ready", times + 1)
            await app.says("whole", times + 1)
            await hers.send(talk.id, "After")
            await eventually(lambda: app.shown[-1:] == [(hers.seqs(talk.id)[-1], "After")], within=10)
        assert app.shown == [(message["seq"], message["text"]) for message in hers.messages(talk.id)]
        assert [said["from"] for said in app.all("shown")] == ["live", *["sync"] * 5, "live", *["sync"] * 5, "live"]


async def test_it_reads_the_code_of_a_refusal(server: Server, given: Given, open_app: OpenApp) -> None:
    cleo = await given.a_client()
    assert (await server.as_(cleo.access_token).post("/auth/logout")).status == 204
    app = await open_app(server.url, cleo)
    for refused in await app.says("refused", 2):
        assert refused["data"] == {"code": "identity.session_ended", "retryable": False}
        assert refused["message"] == "This session has ended"
