"""Two people, a second instance on the same databases, devices to open, and an eye on the log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
import structlog

from server.core.config import Config
from server.domain.chat.models import Conversation
from tests.given import Given, Person
from tests.servers import Server, Servers
from tests.sockets.device import Device, opened

OpenDevice = Callable[..., Awaitable[Device]]


@pytest.fixture(scope="session")
async def elsewhere(server: Server, config: Config, http: aiohttp.ClientSession) -> AsyncIterator[Server]:
    """Return a second instance beside `server`, shared by all tests of this worker."""
    servers = Servers(config, http)
    yield await servers.start()
    await servers.stop_all()


@pytest.fixture
async def open_device(server: Server) -> AsyncIterator[OpenDevice]:
    """Return a function that opens a device of a person, on `server` by default; all are closed afterwards."""
    async with AsyncExitStack() as stack:

        async def open_one(person: Person, at: Server = server) -> Device:
            return await stack.enter_async_context(opened(at.url, person.access_token))

        yield open_one


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that made the server log an error or a traceback: what clients do is no error of ours."""
    with structlog.testing.capture_logs() as lines:
        yield
    faults = [line for line in lines if line["log_level"] in {"error", "critical"} or line.get("exc_info")]
    assert not faults
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    # What nobody retrieved is found when memory is swept, in whatever test that is.
    own = [record for record in records if "was never retrieved" not in record.getMessage()]
    assert not [record.getMessage() for record in own if record.exc_info]


@pytest.fixture
async def cleo(given: Given) -> Person:
    """Return somebody who trains with Tara."""
    return await given.a_client("Cleo Client")


@pytest.fixture
async def tara(given: Given) -> Person:
    """Return a trainer."""
    return await given.a_trainer("Tara Trainer")


@pytest.fixture
async def talk(given: Given, cleo: Person, tara: Person) -> Conversation:
    """Return what Cleo and Tara say to each other: nothing yet."""
    return await given.a_conversation(cleo, tara)
