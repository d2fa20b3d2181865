"""Opening conversations: everybody in one is told of it, so nobody opens them without end."""

from tests.given import Given
from tests.servers import StartServer


async def test_a_person_opens_only_so_many_conversations(start_server: StartServer, given: Given) -> None:
    server = await start_server(conversations_per_minute=3)
    cleo, tara = await given.a_client(), await given.a_trainer()
    body = {"kind": "group", "name": "Hello there", "member_ids": [str(tara.id)]}
    opened = [(await server.as_(cleo.access_token).post("/conversations", body)).status for _ in range(4)]
    assert opened == [201, 201, 201, 429]
    # Nobody else has to wait for it.
    answer = await server.as_(tara.access_token).post("/conversations", body | {"member_ids": [str(cleo.id)]})
    assert answer.status == 201
