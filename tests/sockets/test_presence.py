"""Who is there: active, idle, offline, and since when."""

from typing import Any

import pytest

from tests.given import Given, Person
from tests.proxy import proxied
from tests.servers import Server, StartServer
from tests.sockets.conftest import OpenDevice
from tests.sockets.device import Device, opened
from tests.waiting import eventually


@pytest.fixture
async def tara(given: Given, cleo: Person) -> Person:
    """Return somebody who shares a conversation with Cleo."""
    tara = await given.a_trainer("Tara Trainer")
    await given.a_conversation(tara, cleo)
    return tara


def states(device: Device, person: Person) -> list[str]:
    """List the states of a person that a device was told, as they came."""
    users = [user for heard in device.all_heard("presence.changed") for user in heard.data["users"]]
    return [user["state"] for user in users if user["user_id"] == str(person.id)]


async def watched(device: Device, *people: Person) -> dict[str, Any]:
    """Watch people and return what is known of them now, by id."""
    users = (await device.do("watch_presence", user_ids=[person.id for person in people]))["users"]
    return {user["user_id"]: user for user in users}


async def test_who_opens_a_device_is_active_and_who_leaves_is_offline_on_every_instance(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person
) -> None:
    watching = [await open_device(tara), await open_device(tara, elsewhere)]
    for device in watching:
        assert (await watched(device, cleo))[str(cleo.id)]["state"] == "offline"
    phone = await open_device(cleo)
    for device in watching:
        await sees(device, cleo, "active")
    await phone.leave()
    for device in watching:
        await sees(device, cleo, "active", "offline")
        last = device.all_heard("presence.changed")[-1]
        assert last.data["users"][0]["last_seen"]
        assert last.seq is None


async def test_a_late_watcher_learns_how_it_is(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person
) -> None:
    await open_device(cleo)
    for device in (await open_device(tara), await open_device(tara, elsewhere)):
        await sees_active(device, cleo)


async def is_active(device: Device, person: Person) -> bool:
    known = (await watched(device, person))[str(person.id)]
    return bool(known == {"user_id": str(person.id), "state": "active", "last_seen": None})


async def sees_active(device: Device, person: Person) -> None:
    """Watch a person, and wait until they are there."""
    await eventually(lambda: is_active(device, person))


async def sees(device: Device, person: Person, *wanted: str) -> None:
    """Wait until the last states that a device was told of a person are these."""
    await eventually(lambda: tuple(states(device, person)[-len(wanted) :]) == wanted, within=2)


async def test_the_best_of_a_persons_devices_counts(
    open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person
) -> None:
    phone, tablet, hers = await open_device(cleo), await open_device(cleo, elsewhere), await open_device(tara)
    await sees_active(hers, cleo)
    assert (await phone.do("set_presence", state="idle"))["user_id"] == str(cleo.id)
    await tablet.do("set_presence", state="idle")
    await sees(hers, cleo, "idle")
    await phone.do("set_presence", state="active")
    await sees(hers, cleo, "active")
    await phone.leave()
    await sees(hers, cleo, "idle")
    await tablet.leave()
    await sees(hers, cleo, "offline")


async def test_a_network_that_breaks_for_a_moment_is_not_seen(
    server: Server, open_device: OpenDevice, cleo: Person, tara: Person
) -> None:
    hers = await open_device(tara)
    async with proxied(server.url) as road:
        async with opened(road.url, cleo.access_token) as phone:
            await sees_active(hers, cleo)
            road.cut()
            await eventually(phone.closed.is_set)
        async with opened(road.url, cleo.access_token) as phone:
            # She is back, and the lost device counts no more: what she says on this one is how it is.
            await phone.do("set_presence", state="idle")
            await sees(hers, cleo, "idle")
            assert "offline" not in states(hers, cleo)


async def test_only_acquaintances_can_be_watched(
    given: Given, open_device: OpenDevice, elsewhere: Server, cleo: Person, tara: Person
) -> None:
    stranger = await given.a_client("A stranger")
    watching = await open_device(stranger)
    assert await watched(watching, cleo, tara) == {}
    hers = await open_device(tara, elsewhere)
    assert set(await watched(hers, cleo, stranger)) == {str(cleo.id)}
    await open_device(cleo)
    await sees(hers, cleo, "active")
    await watching.do("sync", cursors={})
    assert not watching.all_heard("presence.changed")


async def test_one_sees_oneself(open_device: OpenDevice, cleo: Person) -> None:
    phone = await open_device(cleo)
    await sees_active(phone, cleo)


async def test_when_somebody_was_last_seen_is_known_to_an_instance_that_starts_later(
    start_server: StartServer, open_device: OpenDevice, cleo: Person, tara: Person
) -> None:
    phone, hers = await open_device(cleo), await open_device(tara)
    await sees_active(hers, cleo)
    await phone.leave()
    await sees(hers, cleo, "offline")
    later = await open_device(tara, await start_server())

    async def is_known() -> bool:
        known = (await watched(later, cleo))[str(cleo.id)]
        assert known["state"] == "offline"
        return known["last_seen"] is not None

    await eventually(is_known)
