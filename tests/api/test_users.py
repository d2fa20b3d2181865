"""One's own profile."""

from tests.given import Given
from tests.servers import Server


async def test_a_person_sees_their_own_profile(server: Server, given: Given) -> None:
    cleo = await given.a_client("Cleo Client")
    answer = await server.as_(cleo.access_token).get("/users/me")
    assert (answer.status, answer.body["id"], answer.body["name"]) == (200, str(cleo.id), "Cleo Client")
