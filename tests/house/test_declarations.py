"""What the server declares, held against its tables: permissions, events, errors, documents."""

import re
from collections import Counter

import pytest

from server import catalogue, documents
from server.core.errors import Kind
from server.core.events import Event, name_of
from server.core.permissions import GRANTS, Permission
from server.effects import EFFECTS
from server.handlers.http import Endpoint

ENDPOINTS = [endpoint for routes in catalogue.ROUTES for endpoint in routes.endpoints]
COMMANDS = [command for namespace in catalogue.NAMESPACES.values() for command in namespace.commands.values()]
PUBLIC = {"POST /api/v1/auth/register", "POST /api/v1/auth/login", "POST /api/v1/auth/refresh"}


def title(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def events(above: type[Event] = Event) -> list[type[Event]]:
    return [found for below in above.__subclasses__() for found in (below, *events(below))]


def test_whatever_is_not_public_by_name_needs_a_permission() -> None:
    assert {title(endpoint) for endpoint in ENDPOINTS if endpoint.needs is None} == PUBLIC


def test_every_permission_is_granted_to_somebody_and_needed_somewhere() -> None:
    assert set(GRANTS) == set(Permission)
    assert all(roles for relations in GRANTS.values() for roles in relations.values())
    needed = {endpoint.needs for endpoint in ENDPOINTS} | {command.needs for command in COMMANDS}
    assert needed - {None} == set(Permission)


def test_every_event_says_what_follows_from_it() -> None:
    assert set(events()) == set(EFFECTS), "effects.py has a line for each event, an empty one where nothing follows"


def test_event_names_are_dotted_and_alone() -> None:
    names = Counter(name_of(event) for event in events())
    assert [name for name, count in names.items() if count > 1] == []
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", name) for name in names)


def test_effects_are_called_after_what_they_do() -> None:
    verbs = ("tell_", "notify_", "count_", "award_", "forget_", "close_")
    assert [
        effect.__name__ for row in EFFECTS.values() for effect in row if not effect.__name__.startswith(verbs)
    ] == []


@pytest.mark.parametrize("case", catalogue.error_cases().values(), ids=lambda case: str(case.code))
def test_an_error_case_has_a_stable_code_and_a_sentence(case: object) -> None:
    found = next(one for one in catalogue.error_cases().values() if one is case)
    assert re.fullmatch(r"([a-z]+\.)?[a-z]+(_[a-z]+)*", found.code)
    assert isinstance(found.kind, Kind)
    assert found.title[0].isupper()
    assert not found.title.endswith(".")


def test_the_errors_a_route_or_command_names_are_in_the_catalogue() -> None:
    known = catalogue.error_cases()
    named = [case for endpoint in ENDPOINTS for case in endpoint.errors]
    named += [case for command in COMMANDS for case in command.errors]
    assert [case.code for case in named if known.get(case.code) is not case] == []


def test_the_asyncapi_document_names_every_command_and_event() -> None:
    document = catalogue.asyncapi_document()
    messages = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert {command.name for command in COMMANDS} <= messages
    assert {event.name for one in catalogue.NAMESPACES.values() for event in one.events} <= messages


def test_every_reference_in_a_document_leads_somewhere() -> None:
    for document in (catalogue.openapi_document(), catalogue.asyncapi_document()):
        for reference in references(document):
            place: object = document
            for step in reference.removeprefix("#/").split("/"):
                assert isinstance(place, dict)
                place = place[step]


def references(part: object) -> list[str]:
    if isinstance(part, dict):
        return [str(part["$ref"])] if "$ref" in part else [one for below in part.values() for one in references(below)]
    if isinstance(part, list):
        return [one for below in part for one in references(below)]
    return []


def test_generated_pages_say_what_the_code_says() -> None:
    assert [path.name for path in documents.stale()] == [], "run `make docs`"
