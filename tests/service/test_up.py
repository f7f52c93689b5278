"""The programs that `tunery up` runs."""

from pathlib import Path

import pytest

from service.up import _Plan


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_runners_sync_at_a_port_that_only_this_machine_can_reach(tmp_path: Path, host: str) -> None:
    plan = _Plan.make(tmp_path, host, 9000, tmp_path / "ray")
    (api,) = (program for program in plan.programs(host, 9000) if program.name == "api")
    port = api.argv[api.argv.index("--internal-port") + 1]
    assert plan.service_environment["TUNERY_SERVICE_URL"] == f"http://127.0.0.1:{port}"
    # The API's default is 127.0.0.1, whatever the host for clients is.
    assert "--internal-host" not in api.argv
    assert port != "9000"
