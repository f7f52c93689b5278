"""In which order rows are locked, and what is read after that. SQLite has one writer at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from service.api.state import AppState
from service.db import tables
from service.db.archiving import archive_project
from service.db.limits.rate_buckets import Claim, take
from service.db.models.models import TunedModels
from service.db.organization.projects import Projects
from service.db.transitions import lock
from service.db.webhooks.queue import WebhookQueue
from tests.api import Project, add_admin_key, add_project, add_tuned_model, http, jsonl, project, state

__all__ = ["http", "project", "state"]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]
IS_WAITED_FOR = (
    "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)) LIMIT 1"
)


def test_what_was_read_before_a_lock_is_read_anew(
    http: TestClient, state: AppState, project: Project
) -> None:
    job_id = new_job(http)
    model, _ = add_tuned_model(state.database, job_id)
    with state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        with state.database.write() as sweep:
            sweep.get_one(tables.Job, job_id).resume_state_gone_at = 5
        TunedModels(session, project.tenant).resolve_and_lock(model)
        assert job.resume_state_gone_at == 5


@pytest.mark.parametrize(
    ("change", "status"), [("job", 409), ("alias", 200), ("resume", 409), ("permission", 400)]
)
def test_a_project_is_archived_while_requests_wait_for_it(
    http: TestClient, state: AppState, project: Project, change: str, status: int
) -> None:
    job_id = new_job(http)
    _, checkpoint = add_tuned_model(state.database, job_id)
    set_status(state, job_id, "paused")
    tenant, continued = project.tenant, {"model": checkpoint, "training_file": upload(http)}
    # An admin key of another project: the one that it acts in by default cannot be archived.
    elsewhere = add_project(state.database, organization_id=tenant.organization_id).tenant
    key = add_admin_key(state.database, elsewhere)
    requests: dict[str, Callable[[], httpx2.Response]] = {
        "job": lambda: http.post("/v1/fine_tuning/jobs", json=continued),
        "alias": lambda: http.post(f"/v1/models/{checkpoint}/aliases", json={"alias": "a@b"}),
        "resume": lambda: http.post(f"/v1/fine_tuning/jobs/{job_id}/resume"),
        "permission": lambda: http.post(
            f"/v1/fine_tuning/checkpoints/{checkpoint}/permissions",
            json={"project_ids": [tenant.project_id]},
            headers={"Authorization": f"Bearer {key}"},
        ),
    }
    with ThreadPoolExecutor(1) as pool:
        with state.database.write() as session:
            Projects(session, tenant.organization_id).lock(tenant.project_id)
            answer = pool.submit(requests[change])
            while session.scalar(text(IS_WAITED_FOR)) is None:
                assert not answer.done(), answer.result().text
            archive_project(session, tenant.organization_id, tenant.project_id)
        assert answer.result().status_code == status, answer.result().text
    with state.database.read() as session:
        assert session.get_one(tables.Job, job_id).status == "cancelled"


def test_a_project_is_archived_although_a_job_ends_meanwhile(
    http: TestClient, state: AppState, project: Project
) -> None:
    job_id = new_job(http)
    organization_id, project_id = project.tenant.organization_id, project.tenant.project_id

    def archive() -> None:
        with state.database.write() as session:
            archive_project(session, organization_id, project_id)

    with ThreadPoolExecutor(1) as pool:
        with state.database.write() as session:
            lock(session, job_id)
            archiving = pool.submit(archive)
            while session.scalar(text(IS_WAITED_FOR)) is None:
                assert not archiving.done()
            session.get_one(tables.Job, job_id).status = "failed"
        archiving.result(300)
    with state.database.read() as session:
        assert session.get_one(tables.Job, job_id).status == "failed"
        assert session.get_one(tables.Project, project_id).archived_at is not None


def test_a_process_that_waits_to_create_a_bucket_holds_no_other(state: AppState) -> None:
    take_both = [Claim("a", 60, 1), Claim("b", 60, 1)]
    with state.database.write() as session:
        take(session, [take_both[1]])

    def take_them() -> None:
        with state.database.write() as session:
            take(session, take_both)

    with ThreadPoolExecutor(1) as pool:
        with state.database.write() as session:
            session.execute(text("INSERT INTO rate_buckets (id, level, filled_at) VALUES ('a', 1, 0)"))
            taking = pool.submit(take_them)
            while session.scalar(text(IS_WAITED_FOR)) is None:
                assert not taking.done()
            # This process wants "b" too. If the other held it, each would wait for the other.
            session.execute(text("SELECT 1 FROM rate_buckets WHERE id = 'b' FOR UPDATE NOWAIT"))
        taking.result(300)


def test_pruning_waits_for_nobody(state: AppState, project: Project) -> None:
    queue = WebhookQueue(state.database, retention_seconds=1, disable_after_seconds=1)
    tenant = project.tenant
    with state.database.write() as session:
        for number in (1, 2):
            session.add(
                tables.OutboxEntry(
                    id=number,
                    organization_id=tenant.organization_id,
                    project_id=tenant.project_id,
                    topic="fine_tuning.job.failed",
                    payload={"id": "ftjob-1"},
                    created_at=1,
                    delivered_at=1,
                )
            )
    with state.database.write() as session:
        session.execute(text("SELECT 1 FROM outbox WHERE id = 1 FOR UPDATE"))
        assert queue.prune() == 1
    assert (queue.prune(), queue.prune()) == (1, 0)


def new_job(http: TestClient) -> str:
    body = {"model": "base-1", "training_file": upload(http)}
    return http.post("/v1/fine_tuning/jobs", json=body).json()["id"]


def upload(http: TestClient) -> str:
    form = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return http.post("/v1/files", **form).json()["id"]


def set_status(state: AppState, job_id: str, status: str) -> None:
    with state.database.write() as session:
        session.get_one(tables.Job, job_id).status = status
