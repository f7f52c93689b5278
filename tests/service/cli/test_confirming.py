"""What cannot be undone is asked about first."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from tests.api import LiveApi, add_admin_key
from tests.service.cli.running import run_tunery
from tests.service.cli.terminal import on_terminal

DESTRUCTIVE = (
    ("jobs", "cancel", "ftjob-1"),
    ("keys", "revoke", "key-1", "--admin"),
    ("models", "unalias", "support@prod"),
    ("projects", "archive", "product"),
    ("projects", "delete", "proj_1"),
    ("projects", "release", "product", "hold_1"),
    ("webhooks", "rm", "we_1"),
    ("webhooks", "rotate", "we_1"),
    ("bases", "rm", "tunery-tiny-1"),
)


@pytest.mark.parametrize("command", DESTRUCTIVE, ids=" ".join)
def test_without_a_terminal_nothing_is_destroyed_unless_yes_is_said(command: tuple[str, ...]) -> None:
    nowhere = {"TUNERY_BASE_URL": "http://127.0.0.1:9/v1", "TUNERY_API_KEY": "none"}
    done = CliRunner().invoke(app, command, env=nowhere, input="y\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Add --yes" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_a_terminal_only_yes_lets_it_happen(live: LiveApi, tmp_path: Path) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)
    run_tunery(live, "projects", "create", "product", key=admin)
    for answer, exit_code, is_there in (("\n", 1, True), ("y\n", 0, False)):
        with on_terminal(live, tmp_path, "projects", "archive", "product", TUNERY_API_KEY=admin) as terminal:
            terminal.until("Archive product? Its keys are refused and its jobs cancelled, for good. [y/N]")
            terminal.send(answer)
            assert terminal.wait() == exit_code, terminal.text
        assert ("product" in run_tunery(live, "projects", "ls", key=admin).stdout) is is_there
