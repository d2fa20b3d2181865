"""What a browser gets from this process: the chat page at `/` and the API reference at `/docs`."""

import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

DEMO_PASSWORD = "demo-password"  # noqa: S105 - printed in the README; these people exist in demo data only
PAGE_FOLDER = Path(__file__).resolve().parent.parent / "page"
CONTENT_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Nothing but our own files may run, be shown or be asked, and nobody may frame us.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# In the chat, no script may turn a text into HTML, not even ours.
PAGE_POLICY = f"{POLICY}; require-trusted-types-for 'script'"
# Swagger UI sets style attributes.
DOCS_POLICY = f"{POLICY}; style-src 'self' 'unsafe-inline'"


class DemoPerson(msgspec.Struct, frozen=True):
    """Somebody a visitor of a demo server may sign in as."""

    id: str
    name: str
    email: str
    role: str


class BrowserFile:
    """One file, read at start-up, that a browser keeps until it changes."""

    def __init__(self, path: Path, policy: str) -> None:
        self.content = path.read_bytes()
        self.content_type = CONTENT_TYPES[path.suffix]
        self.etag = hashlib.sha256(self.content).hexdigest()[:32]
        self.policy = policy

    async def send(self, request: web.Request) -> web.Response:
        """Send the file, or 304 to a browser that has it."""
        response = web.Response(headers=security_headers(self.policy))
        response.etag = self.etag
        if any(known.value in (self.etag, "*") for known in request.if_none_match or ()):
            response.set_status(304)
            return response
        response.body = self.content
        response.content_type = self.content_type
        response.charset = "utf-8"
        return response


def security_headers(policy: str) -> dict[str, str]:
    """Return what every answer to a browser tells it not to do."""
    return {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def mount(app: web.Application, demo_people: Sequence[DemoPerson] = ()) -> None:
    """Add the page, the API reference, and the list of demo people that the page offers."""
    page = {path.name: BrowserFile(path, PAGE_POLICY) for path in PAGE_FOLDER.iterdir() if path.suffix in CONTENT_TYPES}
    docs = BrowserFile(PAGE_FOLDER / "docs.html", DOCS_POLICY)
    assets = {path.name: BrowserFile(path, DOCS_POLICY) for path in swagger_ui_files()}
    demo = {"people": demo_people, "password": DEMO_PASSWORD} if demo_people else {"people": []}
    demo_json = msgspec.json.encode(demo)

    async def show_page_file(request: web.Request) -> web.Response:
        return await find_file(page, request).send(request)

    async def show_docs_asset(request: web.Request) -> web.Response:
        return await find_file(assets, request).send(request)

    async def show_demo_people(_request: web.Request) -> web.Response:
        return web.Response(body=demo_json, content_type="application/json", headers=security_headers(POLICY))

    app.router.add_get("/", page["index.html"].send)
    app.router.add_get("/page/{file}", show_page_file)
    app.router.add_get("/docs", docs.send)
    app.router.add_get("/docs/assets/{file}", show_docs_asset)
    app.router.add_get("/demo.json", show_demo_people)


def find_file(files: dict[str, BrowserFile], request: web.Request) -> BrowserFile:
    """Find a file by its name. Only files that were there at start-up have one, so no path leads elsewhere."""
    file = files.get(request.match_info["file"])
    if file is None:
        raise web.HTTPNotFound
    return file


def swagger_ui_files() -> Iterable[Path]:
    """Find the files of Swagger UI that we show, without importing the package that brings them."""
    package = importlib.util.find_spec("swagger_ui")
    if package is None or package.origin is None:
        raise FileNotFoundError("the package swagger-ui-py, which is among our dependencies, is not installed")
    folder = Path(package.origin).parent / "static"
    return (folder / "swagger-ui-bundle.js", folder / "swagger-ui.css")
