"""`tunery doctor` and `tunery usage` against a live API."""

import json
import threading

import httpx2
import pytest

from service.cli.remote import Api, Target
from service.cli.server.doctor import _findings
from service.db.scheduler.leases import Leases
from service.db.scheduler.store import LEASE
from tests.api import BASE, LiveApi, add_admin_key, add_key
from tests.service.cli.running import run_tunery
from tests.service.cli.training import begin, report_steps, succeed

pytestmark = pytest.mark.slow
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def verdicts(live: LiveApi, *options: str, key: str | None = None) -> tuple[int, dict[str, tuple[str, str]]]:
    done = run_tunery(live, "doctor", *options, "--json", key=key)
    found = json.loads(done.stdout)
    return done.exit_code, {one["check"]: (one["verdict"], one["found"]) for one in found}


@on_sqlite
def test_every_part_has_a_verdict_and_a_missing_scheduler_fails(live: LiveApi) -> None:
    exit_code, found = verdicts(live)
    assert exit_code == 1
    assert list(found) == [
        "reachable", "clock", "version", "database", "storage", "serving", "scheduler", "key", "scopes",
        "models", "devices",
    ]  # fmt: skip
    assert found["scheduler"][0] == "failed"
    assert {name for name, (verdict, _) in found.items() if verdict == "ok"} >= {
        "reachable", "clock", "version", "database", "storage", "serving", "key", "models",
    }  # fmt: skip


@on_sqlite
def test_a_key_that_may_only_read_is_a_warning_and_a_wrong_one_fails_with_3(live: LiveApi) -> None:
    reader = add_key(live.state.database, live.project.tenant, frozenset({"read"}))
    _, found = verdicts(live, key=reader)
    assert found["scopes"] == ("warning", "read; this key may not write or infer.")
    _, found = verdicts(live)
    assert found["scopes"] == ("ok", "read, write, infer")
    _, found = verdicts(live, key="wrong")
    assert found["key"][0] == "failed"
    assert "scopes" not in found


@on_sqlite
def test_an_admin_key_sees_the_devices_before_any_job_has_run(live: LiveApi) -> None:
    _, found = verdicts(live)
    assert found["devices"][1].startswith("unknown until a job has run")
    _, found = verdicts(live, key=add_admin_key(live.state.database, live.project.tenant))
    (pool,) = live.state.settings.pools
    assert found["devices"] == ("ok", f"{pool.name}: {pool.all_devices} x CPU, 0 in use")


def test_a_server_that_is_not_there_is_one_finding() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused")

    api = Api(Target("http://127.0.0.1:9/v1", "key"), transport=httpx2.MockTransport(refuse))
    (finding,) = _findings(api)
    assert (finding.check, finding.verdict) == ("reachable", "failed")
    assert "connection refused" in finding.found


def test_a_clock_that_is_wrong_is_a_warning() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, headers={"date": "Mon, 01 Jan 2024 00:00:00 GMT"}, json={"parts": {}})

    def healthy(request: httpx2.Request) -> httpx2.Response:
        found = answer(request)
        return (
            httpx2.Response(200, headers=found.headers, json={}) if "healthz" in str(request.url) else found
        )

    api = Api(Target("http://127.0.0.1:9/v1", "key"), transport=httpx2.MockTransport(healthy))
    clock = next(finding for finding in _findings(api) if finding.check == "clock")
    assert clock.verdict == "warning"
    assert "behind this machine's" in clock.found


@on_sqlite
def test_a_test_job_is_trained_asked_and_deleted(live: LiveApi) -> None:
    with live.state.database.write() as session:
        assert Leases(session).acquire(LEASE, "test", seconds=600)

    def train() -> None:
        while not is_over.wait(0.05):
            jobs = live.openai().fine_tuning.jobs.list().data
            if jobs:
                begin(live, jobs[0].id)
                report_steps(live, jobs[0].id, 1, 10)
                succeed(live, jobs[0].id)
                return

    is_over = threading.Event()
    cluster = threading.Thread(target=train)
    cluster.start()
    try:
        exit_code, found = verdicts(live, "--job")
    finally:
        is_over.set()
        cluster.join()
    assert (exit_code, found["job"][0]) == (0, "ok"), found
    assert live.openai().files.list(purpose="fine-tune").data == []
    assert [model.id for model in live.openai().models.list().data] == [BASE.alias]


@on_sqlite
def test_usage_is_listed_by_day_and_model(live: LiveApi) -> None:
    assert run_tunery(live, "usage", "--start", "2026-01-01", "--end", "2026-01-02").stdout == ""
    refused = run_tunery(live, "usage", "--start", "2026-01-02", "--end", "2026-01-01")
    assert refused.exit_code == 1
    assert "start" in refused.stderr
