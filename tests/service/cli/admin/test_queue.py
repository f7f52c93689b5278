"""`tunery queue`, `tunery pools` and `tunery jobs priority`, against a live API."""

import json

import pytest

from cluster.contracts.jobs import JobStatus
from service.db.database import now
from service.db.organization.api_keys import ApiKeys
from service.db.scheduler.pool_views import PoolNode, record_pool_views
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
    assert run_tunery(live, "queue").exit_code == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_operator_limits_a_pool(live: LiveApi) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)
    with live.state.database.write() as session:
        operator = ApiKeys(session).ensure_admin(None)

    def pool(*changes: str) -> tuple[int, int, int | None]:
        done = run_tunery(live, "pools", *(f"--set={change}" for change in changes), "--json", key=operator)
        (found,) = json.loads(done.stdout)
        return found["devices"], found["held_devices"], found["max_devices"]

    assert pool() == (1, 0, None)
    assert pool("training=0") == (1, 0, 0)
    assert pool("training=1") == (1, 0, 1)
    (shown,) = run_tunery(live, "pools", key=admin).stdout.splitlines()
    assert shown.split("\t")[:8] == ["training", "cpu", "1", "", "1", "0", "", "1"]
    with live.state.database.write() as session:
        nodes = [PoolNode("a", "standing", 1, 1), PoolNode("b", "draining", 1, 0, "It is about to go.")]
        record_pool_views(session, {"training": nodes}, at=now(session))
    done = run_tunery(live, "pools", key=admin)
    assert done.stdout.split("\t")[2:7] == ["1", "1", "1", "0", "1"]
    assert "Node b of training is draining. It is about to go." in done.stderr
    assert pool("training=unlimited") == (1, 0, None)
    for change, key, exit_code, why in (
        ("training=2", operator, 1, "max_devices is 2, but pool 'training' has 1 devices"),
        ("gpus=0", operator, 4, "There is no pool 'gpus'"),
        ("training=few", operator, 2, "POOL=DEVICES"),
        ("training=0", admin, 3, "operator's key"),
    ):
        refused = run_tunery(live, "pools", "--set", change, key=key)
        assert (refused.exit_code, why in refused.stderr) == (exit_code, True), refused.stderr
    log = run_tunery(live, "audit", "ls", "--type", "pool.updated", key=operator).stdout
    assert log.count("pool.updated") == 3
