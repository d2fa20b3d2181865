"""What Prometheus reads is what has happened."""

from prometheus_client.parser import text_string_to_metric_families

from tests.sockets.engine.conftest import Dial, Run


async def test_the_numbers_are_those_of_this_process(run: Run, open_peer: Dial) -> None:
    async with run(commands_burst=2, commands_per_minute=1) as server:
        cleo = await server.given.a_client()
        device = await open_peer(server.url)
        other = await open_peer(server.url)
        for one in (device, other):
            await one.connect(cleo.access_token)
        for number in range(3):
            device.say(f'42{number}["set_presence",{{"state":"idle"}}]')
            await device.ack(number)
        gone = await open_peer(server.url)
        gone.say("nonsense")
        await gone.closed()
        answer = await server.server.get("/metrics-prom")
        assert answer.headers["Content-Type"].startswith("text/plain")
        found = {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }
    assert found["fitsync_connections"] == 2
    assert found["fitsync_connections_opened_total"] == 3
    assert found["fitsync_commands_total"] == 3
    assert found["fitsync_refusals_total commands"] == 1
    assert found["fitsync_ends_total bad_packet"] == 1
    assert found["fitsync_unsent_bytes"] == 0
    assert found["fitsync_bus_alive"] in {0, 1}
    assert found["fitsync_packets_sent_total"] >= 8
    assert found["fitsync_fan_out_seconds_count"] == found["fitsync_fan_out_seconds_bucket +Inf"] > 0
    assert found["fitsync_commit_seconds_count"] > 0
