"""`tunery queue`, `tunery pools` and `tunery jobs priority`, against a live API."""

import json

import pytest

from cluster.contracts.jobs import JobStatus
from tests.api import BASE, LiveApi, add_admin_key, jsonl
from tests.service.cli.running import run_tunery
from tests.service.db.rows import move


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_queue_is_shown_and_a_job_is_moved_in_it(live: LiveApi) -> None:
    create = {"model": BASE.alias, "training_file": live.upload(jsonl())}
    with live.openai() as client:
        first, second = (client.fine_tuning.jobs.create(**create, suffix=name).id for name in ("a", "b"))
    for job in (first, second):
        move(live.state.database, job, JobStatus.QUEUED)
    admin = add_admin_key(live.state.database, live.project.tenant)

    def queue() -> list[str]:
        done = run_tunery(live, "queue", key=admin)
        return [line.split("\t")[1] for line in done.stdout.splitlines()]

    assert queue() == [first, second]
    done = run_tunery(live, "jobs", "priority", first, "low")
    assert (done.exit_code, done.stdout) == (0, f"{first} has the priority low.\n"), done.stderr
    assert queue() == [second, first]
    refused = run_tunery(live, "jobs", "priority", first, "high")
    assert (refused.exit_code, "max_priority" in refused.stderr) == (3, True)
    assert "number 2: " in run_tunery(live, "jobs", "get", first).stdout
    (pool,) = json.loads(run_tunery(live, "pools", "--json", key=admin).stdout)
    assert (pool["devices"], pool["held_devices"]) == (1, 0)
    assert run_tunery(live, "queue").exit_code == 3
