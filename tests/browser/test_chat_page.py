"""Two people and the page: what a newcomer does in the first minute, and what a tunnel does to it."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import SignedIn
from tests.proxy import proxied

pytestmark = pytest.mark.browser

TARA = "tara@demo.fitsync.test"
CLEO = "cleo@demo.fitsync.test"
RECONNECTING_MS = 30_000  # the pause between two attempts is random, and grows


def conversation(page: Page, name: str) -> Locator:
    return page.get_by_test_id("conversation").filter(has=page.get_by_text(name, exact=True))


def message(page: Page, text: str) -> Locator:
    return page.get_by_test_id("message").filter(has_text=text)


async def say(page: Page, text: str) -> None:
    await page.get_by_test_id("composer").fill(text)
    await page.get_by_test_id("send").click()


async def expect_state(found: Locator, state: str) -> None:
    await expect(found).to_have_attribute("data-state", state)


async def test_two_people_chat_and_a_tunnel_loses_nothing(address: str, signed_in: SignedIn) -> None:
    async with proxied(address) as road:
        tara = await signed_in(address, TARA)
        cleo = await signed_in(road.url, CLEO)
        await see_each_other_read_and_type(tara, cleo)

        road.refuses = True
        road.cut()
        await expect(cleo.get_by_test_id("connection-state")).to_be_visible()
        await say(cleo, "Written in the tunnel")
        await expect_state(message(cleo, "Written in the tunnel"), "sending")
        await say(tara, "Bring water")
        await say(tara, "And the blue band")
        await expect_state(message(tara, "And the blue band"), "sent")

        road.refuses = False
        await expect(message(cleo, "And the blue band")).to_be_visible(timeout=RECONNECTING_MS)
        await expect_state(message(tara, "And the blue band"), "read")
        await expect_state(message(cleo, "Written in the tunnel"), "read")
        await expect(cleo.get_by_test_id("connection-state")).to_be_hidden()
        for page in (tara, cleo):
            ending = ["Yes, see you at nine", "Bring water", "And the blue band", "Written in the tunnel"]
            assert (await page.locator('[data-testid="message"] .text').all_text_contents())[-4:] == ending


async def see_each_other_read_and_type(tara: Page, cleo: Page) -> None:
    await conversation(tara, "Cleo Client").click()
    await expect_state(tara.get_by_test_id("presence"), "active")

    # What is said shows as unread, and as read once it was seen.
    await say(tara, "Ready for <b>tomorrow</b>?")
    sent = message(tara, "Ready for <b>tomorrow</b>?")
    await expect_state(sent, "sent")
    talk = conversation(cleo, "Tara Trainer")
    await expect(talk).to_contain_text("Ready for <b>tomorrow</b>?")
    unread = talk.get_by_test_id("conversation-unread")
    await expect(unread).to_be_visible()
    await talk.click()
    await expect(message(cleo, "Ready for <b>tomorrow</b>?")).to_have_attribute("data-mine", "false")
    await expect_state(sent, "read")
    await expect(unread).to_have_count(0)

    # Typing shows while it lasts, and ends with the message.
    await cleo.get_by_test_id("composer").press_sequentially("Yes, see you at")
    await expect(tara.get_by_test_id("typing")).to_have_text("Cleo is typing…")
    await say(cleo, "Yes, see you at nine")
    await expect(message(tara, "Yes, see you at nine")).to_be_visible()
    await expect(tara.get_by_test_id("typing")).to_have_text("")
    await expect_state(message(cleo, "Yes, see you at nine"), "read")


async def test_coming_and_going_is_seen(address: str, signed_in: SignedIn) -> None:
    tara = await signed_in(address, TARA)
    await conversation(tara, "Cleo Client").click()
    presence = tara.get_by_test_id("presence")
    await expect_state(presence, "offline")

    cleo = await signed_in(address, CLEO)
    await expect_state(presence, "active")
    await cleo.goto("about:blank")
    await expect_state(presence, "offline")
    await expect(presence).to_have_text("Last seen just now")

    await cleo.go_back()
    await expect_state(presence, "active")
    await cleo.get_by_test_id("sign-out").click()
    await expect(cleo.get_by_test_id("demo-person").first).to_be_visible()
    await expect_state(presence, "offline")


async def test_a_new_group_reaches_its_members_at_once(address: str, signed_in: SignedIn) -> None:
    tara = await signed_in(address, TARA)
    cleo = await signed_in(address, CLEO)

    await tara.get_by_test_id("new-conversation").click()
    for name in ("Cleo Client", "Carl Client"):
        await tara.get_by_test_id("person").filter(has_text=name).click()
    await tara.get_by_label("Name of the group").fill("Park, Saturday")
    await tara.get_by_test_id("start-conversation").click()

    await expect(tara.get_by_role("heading", name="Park, Saturday")).to_be_visible()
    await conversation(cleo, "Park, Saturday").click()
    await say(cleo, "I am in")
    await expect(message(tara, "I am in")).to_be_visible()
    await expect(cleo.get_by_text("Read by 1")).to_be_visible()


async def test_a_reload_keeps_the_place_and_the_draft(address: str, signed_in: SignedIn) -> None:
    cleo = await signed_in(address, CLEO)
    await conversation(cleo, "Tara Trainer").click()
    await cleo.get_by_test_id("composer").fill("Not sent yet")

    await cleo.reload()

    await expect(message(cleo, "Bring the blue band")).to_be_visible()
    await expect(cleo.get_by_test_id("composer")).to_have_value("Not sent yet")
