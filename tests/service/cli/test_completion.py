"""What the shell offers after Tab comes from the server; if that does not answer, nothing is offered."""

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.ports import free_ports
from tests.api import BASE, LiveApi, jsonl

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def offered(line: str, url: str, key: str) -> list[str]:
    """What fish gets; `line` ends in the word that is completed."""
    environment = {
        "_TUNERY_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": f"tunery {line}",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "TUNERY_BASE_URL": url,
        "TUNERY_API_KEY": key,
    }
    done = CliRunner().invoke(app, [], env=environment, prog_name="tunery")
    assert done.exit_code == 0, done.output
    return [each.partition("\t")[0] for each in done.stdout.splitlines() if each]


def test_ids_of_jobs_and_names_of_models_are_offered(live: LiveApi) -> None:
    job = live.openai().fine_tuning.jobs.create(model=BASE.alias, training_file=live.upload(jsonl())).id
    url, key = f"{live.url}/v1", live.project.key
    for line in ("jobs get ", "jobs wait ftjob", "chat ftjob", "jobs compare ftjob-1 "):
        assert offered(line, url, key) == [job], line
    for line in ("chat ", f"run data.jsonl --model {BASE.alias[:3]}", "models download "):
        assert offered(line, url, key) == [BASE.alias], line
    assert offered("chat nothing", url, key) == []


def test_without_an_answer_nothing_is_offered_and_nothing_is_said(live: LiveApi) -> None:
    assert offered("jobs get ", f"http://127.0.0.1:{free_ports(1)[0]}/v1", "key") == []
    assert offered("jobs get ", f"{live.url}/v1", "wrong") == []
