import json

import pytest

from service.db.webhooks.queue import EVENT_TYPES
from tests.api import LiveApi
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
    assert run_tunery(live, "webhooks", "rm", endpoint).stdout == f"Deleted {endpoint}.\n"
    assert run_tunery(live, "webhooks", "deliveries", endpoint).exit_code == 4


@pytest.mark.slow
def test_all_events_are_sent_by_default_and_a_wrong_url_says_why(live: LiveApi) -> None:
    created = run_tunery(live, "webhooks", "create", URL, "--json")
    assert json.loads(created.stdout)["event_types"] == list(EVENT_TYPES)
    refused = run_tunery(live, "webhooks", "create", "https://10.0.0.1/")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "not on the public internet. (url_not_allowed)" in refused.stderr
