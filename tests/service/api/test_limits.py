"""Limits on jobs and files over HTTP, and the routes that change them."""

from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED, LimitName
from service.db.organization.api_keys import ApiKeys
from tests.api import LiveApi, Project, add_admin_key, add_key, add_project, jsonl


def limit(state: AppState, project: Project, **changes: int) -> None:
    names: dict[LimitName, int] = changes  # type: ignore[assignment]
    with state.database.write() as session:
        Limits(session).change(project.tenant.project_id, names)


def test_the_sdk_sees_why_no_job_can_be_created_and_does_not_retry(live: LiveApi) -> None:
    client = live.openai(max_retries=5)
    create = {"model": "base-1", "training_file": live.upload()}
    limit(live.state, live.project, concurrent_jobs=1)
    first = client.fine_tuning.jobs.create(**create)
    with pytest.raises(openai.RateLimitError, match="concurrent jobs: Limit 1, Used 1") as busy:
        client.fine_tuning.jobs.create(**create)
    assert (busy.value.type, busy.value.code) == ("requests", "rate_limit_exceeded")
    assert busy.value.response.headers["x-should-retry"] == "false"
    client.fine_tuning.jobs.cancel(first.id)
    limit(live.state, live.project, jobs_per_day=1)
    with pytest.raises(openai.RateLimitError, match=r"Please try again in 2[34]h") as spent:
        client.fine_tuning.jobs.create(**create)
    assert int(spent.value.response.headers["retry-after"]) > 80_000
    assert spent.value.response.headers["x-should-retry"] == "false"
    limit(live.state, live.project, jobs_per_day=UNLIMITED, device_hours_per_month=0)
    with pytest.raises(openai.RateLimitError) as used_up:
        client.fine_tuning.jobs.create(**create)
    assert (used_up.value.type, used_up.value.code) == ("insufficient_quota", "exceeded_quota")
    assert used_up.value.response.headers["x-should-retry"] == "false"
    limit(live.state, live.project, stored_bytes=len(jsonl()) + 1)
    with pytest.raises(openai.RateLimitError, match="storage quota") as full:
        live.upload()
    assert full.value.code == "exceeded_quota"
    client.files.delete(create["training_file"])
    live.upload()


def test_a_refused_upload_leaves_no_bytes_behind(state: AppState, http: TestClient, project: Project) -> None:
    limit(state, project, stored_bytes=3)
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    assert http.post("/v1/files", **upload).status_code == 429
    assert http.get("/v1/files").json()["data"] == []
    assert list(state.store.list("files/")) == []


@pytest.mark.parametrize(
    "headers",
    [{"idempotency-key": "once"}, {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}],
)
def test_a_refused_create_is_not_remembered(
    state: AppState, http: TestClient, project: Project, headers: dict[str, str]
) -> None:
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    create = {"model": "base-1", "training_file": http.post("/v1/files", **upload).json()["id"]}
    limit(state, project, jobs_per_day=0)
    refused = http.post("/v1/fine_tuning/jobs", json=create, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    limit(state, project, jobs_per_day=1)
    created = http.post("/v1/fine_tuning/jobs", json=create, headers=headers)
    assert created.status_code == 200
    retry = headers | {"x-stainless-retry-count": "1"}
    again = http.post("/v1/fine_tuning/jobs", json=create, headers=retry)
    assert (again.status_code, again.json()["id"]) == (200, created.json()["id"])


def key_id_of(state: AppState, key: str) -> str:
    with state.database.read() as session:
        return ApiKeys(session).authenticate(key).key_id


@pytest.fixture
def admin(state: AppState, project: Project) -> dict[str, str]:
    """Headers with an admin key of the project's organization."""
    return {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}


def test_a_projects_limits_and_what_it_has_used_of_them(
    http: TestClient, project: Project, admin: dict[str, str]
) -> None:
    path = f"/v1/organization/projects/{project.tenant.project_id}/limits"
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id})
    free = http.get(path, headers=admin).json()
    assert free["object"] == "project.limits"
    assert free["max_concurrent_jobs"] == free["max_stored_bytes"] == UNLIMITED
    assert free["used"] == {
        "concurrent_jobs": 1,
        "jobs_in_1_day": 1,
        "device_hours_in_1_month": 0,
        "stored_bytes": len(jsonl()),
    }
    change = {"max_jobs_per_1_day": 4, "max_stored_bytes": None}
    changed = http.post(path, json=change, headers=admin).json()
    assert (changed["max_jobs_per_1_day"], changed["max_stored_bytes"]) == (4, UNLIMITED)
    assert http.get(path, headers=admin).json() == changed
    assert http.delete(path, headers=admin).json()["max_jobs_per_1_day"] == UNLIMITED


def test_a_keys_limits_apply_beside_its_projects(
    state: AppState, http: TestClient, project: Project, admin: dict[str, str]
) -> None:
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    create = {"model": "base-1", "training_file": http.post("/v1/files", **upload).json()["id"]}
    key = add_key(state.database, project.tenant, frozenset({"write"}))
    path = f"/v1/organization/projects/{project.tenant.project_id}/api_keys/{key_id_of(state, key)}/limits"
    limited = http.post(path, json={"max_concurrent_jobs": 1}, headers=admin).json()
    assert limited["max_concurrent_jobs"] == 1
    bearer = {"authorization": f"Bearer {key}"}
    codes = [
        http.post("/v1/fine_tuning/jobs", json=create, headers=headers).status_code
        for headers in (bearer, bearer, {})
    ]
    assert codes == [200, 429, 200]
    assert http.get(path, headers=admin).json()["used"]["concurrent_jobs"] == 1
    assert http.delete(path, headers=admin).json()["max_concurrent_jobs"] == UNLIMITED


def routes(project_id: str, key_id: str) -> list[tuple[str, str]]:
    base = f"/v1/organization/projects/{project_id}"
    limits = [f"{base}/limits", f"{base}/api_keys/{key_id}/limits", f"{base}/rate_limits/rl-base-1"]
    every = [(method, path) for path in limits for method in ("GET", "POST", "DELETE")]
    return [("GET", f"{base}/rate_limits"), *(one for one in every if one != ("GET", limits[2]))]


def test_only_admin_keys_see_or_change_limits(
    state: AppState, http: TestClient, project: Project, admin: dict[str, str]
) -> None:
    for method, path in routes(project.tenant.project_id, key_id_of(state, project.key)):
        assert http.request(method, path, json={}).status_code == 403
        assert http.request(method, path, json={}, headers=admin).status_code == 200
    stranger = add_project(state.database)
    elsewhere = routes(project.tenant.project_id, key_id_of(state, stranger.key))
    statuses = [
        http.request(method, path, json={}, headers=admin).status_code
        for method, path in elsewhere
        if "api_keys" in path
    ]
    assert statuses == [404] * 3


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_jobs_per_1_day": -1}, "max_jobs_per_1_day"),
        ({"max_jobs_per_1_day": 2**53}, "max_jobs_per_1_day"),
        ({"max_jobs_per_1_day": 1.5}, "max_jobs_per_1_day"),
        ({"max_jobs": 1}, "max_jobs"),
    ],
)
def test_an_impossible_limit_is_refused(
    http: TestClient, project: Project, admin: dict[str, str], body: dict[str, object], param: str
) -> None:
    path = f"/v1/organization/projects/{project.tenant.project_id}/limits"
    answer = http.post(path, json=body, headers=admin)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_an_organization_has_limits_over_all_its_projects(
    http: TestClient, state: AppState, project: Project
) -> None:
    with state.database.write() as session:
        operator = {"authorization": f"Bearer {ApiKeys(session).ensure_admin(None)}"}
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    second = add_project(state.database, organization_id=project.tenant.organization_id)
    path = f"/v1/organizations/{project.tenant.organization_id}/limits"
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    there = {"authorization": f"Bearer {second.key}"}

    def create(headers: dict[str, str] | None = None) -> Any:
        file_id = http.post("/v1/files", headers=headers, **upload).json()["id"]
        job = {"model": "base-1", "training_file": file_id}
        return http.post("/v1/fine_tuning/jobs", headers=headers, json=job)

    allowed = {"max_concurrent_jobs": 1, "max_projects": 2, "max_stored_bytes": 2 * len(jsonl())}
    assert http.post(path, json=allowed, headers=operator).status_code == 200
    assert create().status_code == 200
    refused = create(there)
    assert (refused.status_code, "organization" in refused.json()["error"]["message"]) == (429, True)
    full = http.post("/v1/files", headers=there, **upload)
    assert (full.status_code, full.json()["error"]["code"]) == (429, "exceeded_quota")
    more = http.post("/v1/organization/projects", json={"name": "x"}, headers=admin)
    assert (more.status_code, more.json()["error"]["code"]) == (429, "exceeded_quota")
    shown = http.get(path, headers=operator).json()
    assert shown["used"] == {
        "projects": 2,
        "concurrent_jobs": 1,
        "jobs_in_1_day": 1,
        "device_hours_in_1_month": 0.0,
        "stored_bytes": 2 * len(jsonl()),
    }
    # Its own admins cannot raise them, nor can others of another organization be named by them.
    for method in ("GET", "POST", "DELETE"):
        assert http.request(method, path, json={}, headers=admin).status_code == 403
    assert http.get("/v1/organizations/org-absent/limits", headers=operator).status_code == 404
    assert http.delete(path, headers=operator).json()["max_projects"] == UNLIMITED
    assert create(there).status_code == 200
    for reader in (operator, admin):
        path = "/v1/organization/audit_logs?event_types[]=organization.limits."
        log = http.get(f"{path}deleted&event_types[]=organization.limits.updated", headers=reader).json()
        assert [one["type"] for one in log["data"]] == [
            "organization.limits.deleted",
            "organization.limits.updated",
        ]
        requested = log["data"][1]["organization.limits.updated"]["changes_requested"]
        assert requested == {"concurrent_jobs": 1, "projects": 2, "stored_bytes": 2 * len(jsonl())}
