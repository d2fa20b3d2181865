"""A server with the demo people in it, and a browser that signs them in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from server.__main__ import seed_demo
from server.core.config import Config
from tests.databases import FreshDatabase
from tests.servers import StartServer

# A browser that talks with nobody but us.
QUIET_BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SignedIn = Callable[..., Awaitable[Page]]


@pytest.fixture
async def address(config: Config, fresh_database: FreshDatabase, start_server: StartServer) -> str:
    """Serve the demo people from a database of their own; return the address."""
    database_url = await fresh_database()
    await seed_demo(msgspec.structs.replace(config, database_url=database_url))
    return (await start_server(database_url=database_url)).url


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Return a headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=QUIET_BROWSER)
        yield browser
        await browser.close()


@pytest.fixture
async def signed_in(browser: Browser) -> AsyncIterator[SignedIn]:
    """Return a function that signs a demo person in, in a window of their own; no window may raise an error."""
    errors: list[str] = []
    async with AsyncExitStack() as stack:

        async def sign_in(where: str, email: str) -> Page:
            context = await browser.new_context(viewport={"width": 1000, "height": 700})
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.on("pageerror", lambda error: errors.append(f"{email}: {error}"))
            await page.goto(where)
            await page.locator(f'[data-testid="demo-person"][data-email="{email}"]').click()
            await expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "open")
            return page

        yield sign_in
    assert errors == []
