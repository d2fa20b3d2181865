"""The OpenAPI document: valid, the one that is served, and true whatever a machine thinks of sending."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from server import catalogue, documents
from tests.given import Given, Person
from tests.servers import Server

ROOT = Path(__file__).parents[2]
EXAMPLES = 20
SEED = 1

# Every check there is, and none left out.
SETTINGS = """
seed = {seed}
continue-on-failure = true

[cache]
enabled = false

[auth]
auto-signup = false

[auth.wfc]
path = "people.json"
user = "cleo"
peers = ["cleo", "tom"]

[generation]
max-examples = {examples}
"""


def test_the_document_is_valid() -> None:
    document = json.loads((documents.DOCS / "openapi.json").read_text(encoding="utf-8"))
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


async def test_the_document_that_is_served_is_the_one_that_is_written_down(server: Server) -> None:
    served = await server.get("/openapi.json")
    assert served.headers["Content-Type"].startswith("application/json")
    assert served.body == json.loads((documents.DOCS / "openapi.json").read_text(encoding="utf-8"))
    asyncapi = await server.get("/asyncapi.json")
    assert asyncapi.body == json.loads((documents.DOCS / "asyncapi.json").read_text(encoding="utf-8"))


def test_every_route_stands_in_the_document_with_every_way_it_can_fail() -> None:
    document = catalogue.openapi_document()
    for routes in catalogue.ROUTES:
        for endpoint in routes.endpoints:
            operation = document["paths"][endpoint.path][endpoint.method.lower()]
            described = " ".join(response["description"] for response in operation["responses"].values())
            assert operation["operationId"] == endpoint.handler.__name__
            assert all(f"`{case.code}`" in described for case in endpoint.errors)


async def test_the_server_is_what_the_document_says(server: Server, given: Given, tmp_path: Path) -> None:
    cleo, tom, carl = await given.a_client(), await given.a_trainer(), await given.a_client()
    for talk in (await given.a_conversation(cleo, carl), await given.a_conversation(carl, cleo, tom)):
        for speaker in (cleo, carl, carl):
            await given.a_message(talk, speaker)
    (tmp_path / "people.json").write_text(json.dumps(sign_ins(cleo=cleo, tom=tom)))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS.format(seed=SEED, examples=EXAMPLES))
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", "--checks=all"),
        *("--suppress-health-check=all", "--no-color"),
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.api.existing_people",
            "EXISTING_PEOPLE": f"{tom.id},{carl.id}",
        },
        stdout=PIPE,
        stderr=STDOUT,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert "Authentication failed" not in said, said
    assert "Missing test data" not in said, said
    number = sum(len(routes.endpoints) for routes in catalogue.ROUTES)
    assert f"Operations:       {number} selected / {number} total" in said, said
    assert all(f"✅ {phase}" in said for phase in ("Examples", "Coverage", "Fuzzing", "Stateful")), said


def sign_ins(**people: Person) -> dict[str, Any]:
    """Tell schemathesis how to sign in, and as whom; it does so again whenever it has signed itself out."""
    return {
        "authTemplate": {
            "loginEndpointAuth": {
                "endpoint": "/api/v1/auth/login",
                "verb": "POST",
                "contentType": "application/json",
                "token": {
                    "extractFrom": "body",
                    "extractSelector": "/access_token",
                    "sendIn": "header",
                    "sendName": "Authorization",
                    "sendTemplate": "Bearer {token}",
                },
            }
        },
        "auth": [
            {
                "name": name,
                "loginEndpointAuth": {"payloadRaw": json.dumps({"email": person.email, "password": person.password})},
            }
            for name, person in people.items()
        ],
    }
