"""The programs that `tunery up` runs."""

from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidConfiguration
from service.up import _Plan, up


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_runners_sync_at_a_port_that_only_this_machine_can_reach(tmp_path: Path, host: str) -> None:
    plan = _Plan.make(tmp_path, host, 9000, tmp_path / "ray")
    (api,) = (program for program in plan.programs(host, 9000) if program.name == "api")
    port = api.argv[api.argv.index("--internal-port") + 1]
    assert plan.service_environment["TUNERY_SERVICE_URL"] == f"http://127.0.0.1:{port}"
    # The API's default is 127.0.0.1, whatever the host for clients is.
    assert "--internal-host" not in api.argv
    assert port != "9000"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TUNERY_TRAINING_SLOTS", "many", "TUNERY_TRAINING_SLOTS is 'many'"),
        ("TUNERY_TRAINING_POOLS", "{", "TUNERY_TRAINING_POOLS is not JSON"),
        ("TUNERY_CATALOGUE", "/absent/models.toml", "/absent/models.toml"),
        ("TUNERY_WEBHOOK_ALLOWED_DESTINATIONS", "http://x", "'http://x'"),
    ],
)
def test_settings_that_nothing_can_start_with_are_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidConfiguration, match=message):
        up(tmp_path / "data", "127.0.0.1", 9000)
    assert not (tmp_path / "data").exists()
