"""Deleting a project leaves nothing of it but what the audit log tells, and touches no other one."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import false, select
from starlette.testclient import TestClient

from cluster.contracts.errors import Conflict
from service.api.state import AppState
from service.db import archiving, deleting, tables
from service.db.limits.quota_use import device_seconds_this_month, job_times_of_a_day
from service.db.organization.projects import check_active
from service.db.tables import Table
from service.db.tenancy import Tenant
from service.db.transitions import UNFINISHED
from service.db.usage.usage import DAY, HOUR, UsageCounts, UsageKey, write_totals
from service.scheduling.sweeping.sweep import SweepOptions, sweep
from tests.api import Project, add_admin_key, add_tuned_model, import_adapter, jsonl
from tests.databases import on_both_databases


class Owner:
    """Fills a project with something of everything."""

    def __init__(self, http: TestClient, state: AppState, admin: dict[str, str], name: str) -> None:
        self._http, self._state, self._admin = http, state, admin
        self.project_id = self.post("/v1/organization/projects", {"name": name})["id"]
        key = self.post(f"{self.root}/api_keys", {"name": "k"})
        self.key_id = key["id"]
        self.headers = {"authorization": f"Bearer {key['value']}"}
        self.post(f"{self.root}/service_accounts", {"name": "s"})
        self.post(f"{self.root}/limits", {"max_jobs_per_1_day": 9})
        self.post(f"{self.root}/api_keys/{self.key_id}/limits", {"max_jobs_per_1_day": 9})
        upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
        file_id = http.post("/v1/files", headers=self.headers, **upload).json()["id"]
        job = {"model": "base-1", "training_file": file_id}
        self.job_id = self.post("/v1/fine_tuning/jobs", job, **self.headers)["id"]
        self.model, _ = add_tuned_model(state.database, self.job_id)
        self.post(f"/v1/models/{self.model}/aliases", {"alias": "it@prod"}, **self.headers)
        self.post(f"/v1/models/{self.model}/exports", {"format": "gguf"}, **self.headers)
        hook = {"name": "x", "url": "https://hooks.example.com/", "event_types": ["fine_tuning.job.failed"]}
        self.post("/v1/webhook_endpoints", hook, **self.headers)
        announced = {"bytes": 1, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}
        upload_id = self.post("/v1/uploads", announced, **self.headers)["id"]
        part = {"files": {"data": b"x"}}
        assert http.post(f"/v1/uploads/{upload_id}/parts", headers=self.headers, **part).status_code == 200
        import_adapter(http, self.headers)
        self.post("/v1/fine_tuning/jobs", {**job, "seed": 2}, **self.headers, **{"idempotency-key": "one"})

    @property
    def root(self) -> str:
        return f"/v1/organization/projects/{self.project_id}"

    def post(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        answer = self._http.post(path, json=body, headers=headers or self._admin)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def archive(self) -> None:
        self.post(f"{self.root}/archive")
        with self._state.database.write() as session:
            session.get_one(tables.Project, self.project_id).archived_at = 1

    def delete(self) -> Any:
        return self._http.delete(self.root, headers=self._admin)

    def release(self, hold_id: str) -> int:
        return self._http.delete(f"{self.root}/legal_holds/{hold_id}", headers=self._admin).status_code

    def rows(self) -> set[str]:
        """Tables with a row that names this project, or its key, job or model."""
        ids = (self.project_id, self.key_id, self.job_id, self.model)
        with self._state.database.read() as session:
            return {
                table.name
                for table in Table.metadata.sorted_tables
                for row in session.execute(select(table))
                if any(id in str(value) for value in row for id in ids)
            }


@pytest.fixture
def admin(state: AppState, project: Project) -> dict[str, str]:
    return {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}


@on_both_databases
def test_nothing_is_left_but_the_audit_log(http: TestClient, state: AppState, admin: dict[str, str]) -> None:
    gone, other = (Owner(http, state, admin, name) for name in ("gone", "other"))
    grant = f"/v1/fine_tuning/checkpoints/{gone.model}/permissions"
    gone.post(grant, {"project_ids": [other.project_id]})
    owned, kept = gone.rows(), other.rows()
    assert len(owned) >= 17
    gone.archive()
    answer = gone.delete()
    assert answer.status_code == 200, answer.text
    assert owned - set(answer.json()["rows"]) <= {"projects", "audit_log", "checkpoint_permissions"}
    assert gone.rows() == {"audit_log", "past_usage"}
    assert other.rows() == kept - {"checkpoint_permissions"}
    assert gone.delete().status_code == 404

    other.archive()
    assert other.delete().status_code == 200
    with state.database.write() as session:
        session.query(tables.IncomingFile).delete()
    sweep(state.database, state.store, SweepOptions(0, 0), clock=lambda: time.time() + 7 * 86_400)
    assert [stored.key for stored in state.store.list("")] == []
    with state.database.read() as session:
        assert session.scalars(select(tables.StoredBytes.bytes)).all() == [0]


def test_what_a_deleted_project_used_still_counts(
    http: TestClient, state: AppState, admin: dict[str, str]
) -> None:
    owner = Owner(http, state, admin, "x")
    hour = int(time.time()) // HOUR * HOUR
    with state.database.write() as session:
        job = session.get_one(tables.Job, owner.job_id)
        job.trained_at, job.trained_tokens = hour, 1000
        tenant = Tenant(job.organization_id, job.project_id)
        attempt = {"job_id": job.id, "number": 1, "submission_id": "x", "token_sha256": "0" * 64}
        attempt |= {"started_at": hour - 90.0, "ended_at": hour + 30.0, "released_at": hour + 30.0}
        session.add(tables.Attempt(**attempt, state="ended", created_at=1, heartbeat_at=1))
        key = UsageKey(tenant, owner.key_id, owner.model, "completions", hour, HOUR)
        base = replace(key, model="base-1", start=hour - 2 * HOUR)
        write_totals(session, "w", {key: UsageCounts(1, 20, 3), base: UsageCounts(2, 40, 5)})

    def usage(group_by: str = "model") -> list[Any]:
        return [
            http.get(
                f"/v1/organization/usage/{kind}?start_time={hour - DAY}&bucket_width=1h&limit=48"
                f"&group_by={group_by}&group_by=project_id",
                headers=admin,
            ).json()["data"]
            for kind in ("completions", "fine_tuning")
        ]

    owner.archive()
    before = json.dumps(usage()).replace(owner.model, "base-1")
    assert owner.delete().status_code == 200
    assert usage() == json.loads(before)
    assert '"trained_tokens": 1000' in before
    assert owner.key_id not in json.dumps(usage("api_key_id"))
    with state.database.read() as session:
        month = device_seconds_this_month(session, false(), organization_id=tenant.organization_id)
        assert hour in job_times_of_a_day(session, false(), organization_id=tenant.organization_id)
        assert job_times_of_a_day(session, false()) == []
    assert month in (120.0, 30.0, 0.0), "a month may begin meanwhile"


def test_a_project_in_use_is_not_deleted(http: TestClient, state: AppState, admin: dict[str, str]) -> None:
    owner = Owner(http, state, admin, "x")
    assert owner.delete().json()["error"]["code"] == "project_not_archived"
    owner.post(f"{owner.root}/archive")
    busy = owner.delete()
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "project_busy")
    hold = owner.post(f"{owner.root}/legal_holds", {"reason": "x", "resource_id": owner.model})
    held = owner.delete()
    assert (held.status_code, held.json()["error"]["code"]) == (409, "legal_hold")
    assert owner.release(hold["id"]) == 200
    owner.archive()
    attempt = {"job_id": owner.job_id, "number": 1, "submission_id": "x", "token_sha256": "0" * 64}
    with state.database.write() as session:
        session.add(tables.Attempt(**attempt, state="ended", created_at=1, heartbeat_at=1))
    assert "are being stopped" in owner.delete().json()["error"]["message"]


def test_a_job_is_not_created_in_a_project_that_is_gone(state: AppState) -> None:
    with state.database.write() as session, pytest.raises(Conflict) as refused:
        check_active(session, Tenant("org-1", "proj_gone"))
    assert refused.value.code == "project_archived"


def test_events_are_deleted_and_jobs_cancelled_a_few_at_a_time(
    http: TestClient,
    state: AppState,
    project: Project,
    admin: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (archiving, deleting):
        monkeypatch.setattr(module, "_JOBS_AT_ONCE", 1)
    owner = Owner(http, state, admin, "x")
    file_id = http.get(f"/v1/fine_tuning/jobs/{owner.job_id}", headers=owner.headers).json()["training_file"]
    owner.post("/v1/fine_tuning/jobs", {"model": "base-1", "training_file": file_id}, **owner.headers)
    tenant = Tenant(project.tenant.organization_id, owner.project_id)

    def left() -> tuple[int, int]:
        job, log = tables.Job, tables.JobEvent
        with state.database.read() as session:
            of_project = session.scalars(select(job.id).where(job.project_id == owner.project_id)).all()
            unended = select(job.id).where(job.id.in_(of_project), job.status.in_(UNFINISHED))
            events = select(log.id).where(log.job_id.in_(of_project))
            return len(session.scalars(unended).all()), len(session.scalars(events).all())

    assert left()[0] == 2
    archiving.cancel_jobs(state.database, tenant.organization_id, tenant.project_id)
    assert left()[0] == 1, "the last ones are cancelled together with the archiving"
    with pytest.raises(Conflict, match="Archive it first"):
        deleting.delete_events(state.database, tenant)
    owner.archive()
    num_unended, num_events = left()
    assert num_unended == 0
    assert num_events > 0
    assert deleting.delete_events(state.database, tenant) == num_events
    assert left() == (0, 0)
    assert owner.delete().status_code == 200
    assert owner.rows() == {"audit_log", "past_usage"}
