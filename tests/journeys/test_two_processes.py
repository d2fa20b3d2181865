"""Two people talk through two processes; the processes end and start again, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import aiohttp

from tests.databases import temporary_folder
from tests.journeys.processes import Served, addresses, served
from tests.servers import Answer, Api
from tests.sockets.device import Device, opened

CLEO, TARA = "cleo@demo.fitsync.test", "tara@demo.fitsync.test"


async def sign_in(http: aiohttp.ClientSession, process: Served, email: str) -> str:
    """Sign in a demo person; return the access token."""
    answer = await Api(http, process.url).post("/auth/login", {"email": email, "password": "demo-password"})
    assert answer.status == 200, answer.body
    return str(answer.body["access_token"])


async def their_talk(device: Device) -> Any:
    """Find the direct conversation of the two demo people."""
    listed = (await device.do("sync", cursors={}))["conversations"]
    direct = [
        found
        for found in listed
        if found["kind"] == "direct"
        and {member["name"] for member in found["members"]} >= {"Tara Trainer", "Cleo Client"}
    ]
    assert len(direct) == 1
    return direct[0]


async def texts(http: aiohttp.ClientSession, process: Served, talk: str) -> list[str]:
    """Fetch what was said in a conversation so far."""
    token = await sign_in(http, process, CLEO)
    answer: Answer = await Api(http, process.url, token).get(f"/conversations/{talk}/messages", limit=100)
    return [message["text"] for message in answer.body["items"]]


async def exchange(one: Device, other: Device, talk: str) -> None:
    """Let each say something and the other one hear it."""
    for sender, listener, text in ((one, other, "Do you hear me?"), (other, one, "Loud and clear")):
        message = await sender.send(talk, text)
        assert (await listener.hears("message.created", id=message["id"])).data == message


async def end_in_order(process: Served, *open_devices: Device) -> None:
    """End a process as an operator does, while sockets are open."""
    code, seconds = await process.end(signal.SIGTERM)
    assert (code, seconds < 10) == (0, True), (code, seconds)
    for device in open_devices:
        await asyncio.wait_for(device.closed.wait(), 5)
        closing = device.heard[-1]
        assert (closing.event, closing.data["code"], closing.data["reconnect"]) == (
            "session.closing",
            "restarting",
            True,
        )
    assert "Traceback" not in process.log


async def test_two_people_talk_through_two_processes_and_find_it_all_after_a_restart(
    http: aiohttp.ClientSession,
) -> None:
    with temporary_folder() as folder:
        data_dir = folder / "data"
        async with served(folder / "first.log", DATA_DIR=str(data_dir)) as first:
            async with (
                served(folder / "second.log", DATA_DIR=str(folder), **addresses(data_dir)) as second,
                opened(first.url, await sign_in(http, first, CLEO)) as phone,
                opened(second.url, await sign_in(http, second, TARA)) as hers,
            ):
                talk = (await their_talk(phone))["id"]
                before = await texts(http, first, talk)
                await exchange(phone, hers, talk)
                await end_in_order(second, hers)
                await phone.send(talk, "Then we go on alone")
            async with opened(first.url, await sign_in(http, first, CLEO)) as phone:
                await end_in_order(first, phone)
        said = [*before, "Do you hear me?", "Loud and clear", "Then we go on alone"]

        async with served(folder / "again.log", DATA_DIR=str(data_dir)) as again:
            assert await texts(http, again, talk) == said
            async with opened(again.url, await sign_in(http, again, TARA)) as hers:
                await hers.send(talk, "Written down just before the lights went out")
                await again.end(signal.SIGKILL)
        async with served(folder / "afterwards.log", DATA_DIR=str(data_dir)) as afterwards:
            assert await texts(http, afterwards, talk) == [*said, "Written down just before the lights went out"]
