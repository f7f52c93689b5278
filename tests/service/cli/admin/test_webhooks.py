import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner

from service.cli.main import app
from service.db.webhooks.queue import EVENT_TYPES
from tests.api import LiveApi, listening
from tests.service.cli.running import run_tunery

URL = "https://hooks.example.com/"


@pytest.mark.slow
def test_an_endpoint_is_made_seen_and_removed_from_the_command_line(live: LiveApi) -> None:
    created = run_tunery(live, "webhooks", "create", URL, "--name", "shop", "--event", "failed")
    assert created.exit_code == 0, created.stderr
    (_, endpoint), (_, secret) = (line.split("\t") for line in created.stdout.splitlines())
    assert secret.startswith("whsec_")
    assert "not shown again" in created.stderr
    (line,) = run_tunery(live, "webhooks", "ls").stdout.splitlines()
    assert line.split("\t")[:6] == [endpoint, "shop", URL, "failed", "enabled", "0"]
    assert secret not in run_tunery(live, "webhooks", "ls", "--json").stdout
    rotated = run_tunery(live, "webhooks", "rotate", endpoint, "--keep-old", "--json")
    assert json.loads(rotated.stdout)["signing_secret"] != secret
    assert run_tunery(live, "webhooks", "disable", endpoint).stdout == f"Disabled {endpoint}.\n"
    assert "Disabled through the API." in run_tunery(live, "webhooks", "ls").stdout
    assert run_tunery(live, "webhooks", "enable", endpoint).exit_code == 0
    assert run_tunery(live, "webhooks", "deliveries", endpoint, "--json").stdout == "[]\n"
    assert run_tunery(live, "webhooks", "rm", endpoint, "--yes").stdout == f"Deleted {endpoint}.\n"
    assert run_tunery(live, "webhooks", "deliveries", endpoint).exit_code == 4


@pytest.mark.slow
def test_all_events_are_sent_by_default_and_a_wrong_url_says_why(live: LiveApi) -> None:
    created = run_tunery(live, "webhooks", "create", URL, "--json")
    assert json.loads(created.stdout)["event_types"] == list(EVENT_TYPES)
    refused = run_tunery(live, "webhooks", "create", "https://10.0.0.1/")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "not on the public internet. (url_not_allowed)" in refused.stderr


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (204, 0), (302, 1), (500, 1)])
def test_a_sample_that_the_receiver_does_not_take_fails_the_command(status: int, exit_code: int) -> None:
    async def answer(request: Request) -> JSONResponse:
        return JSONResponse({"webhook_endpoint_id": "we_1", "status_code": status})

    api = Starlette(routes=[Route("/v1/webhook_endpoints/we_1/test", answer, methods=["POST"])])
    with listening(api) as url:
        env = {"TUNERY_BASE_URL": f"{url}/v1", "TUNERY_API_KEY": "key"}
        result = CliRunner().invoke(app, ["webhooks", "test", "we_1"], env=env)
        as_json = CliRunner().invoke(app, ["webhooks", "test", "we_1", "--json"], env=env)
    assert result.exit_code == as_json.exit_code == exit_code
    assert result.stdout == f"The receiver answered {status}.\n"
    assert json.loads(as_json.stdout)["status_code"] == status
    assert (f"must answer 2xx, not {status}" in result.stderr) == (exit_code == 1)
