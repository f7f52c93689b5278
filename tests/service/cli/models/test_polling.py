"""What the server makes is waited for, also while the server itself is away."""

import httpx2

from service.cli.models.polling import next_state
from service.cli.remote import Api, Target


def test_a_server_that_is_away_for_a_moment_does_not_end_the_wait() -> None:
    answers = [
        httpx2.Response(500, json={}, headers={"retry-after-ms": "0"}),
        httpx2.Response(502, text="Bad gateway", headers={"retry-after-ms": "0"}),
        httpx2.Response(200, json={"status": "succeeded"}),
    ]
    transport = httpx2.MockTransport(lambda _: answers.pop(0))
    api = Api(Target("http://127.0.0.1/v1", "key"), transport=transport)
    assert next_state(api, "/exports/1") == {"status": "succeeded"}
