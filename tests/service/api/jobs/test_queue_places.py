"""A queued job says where it stands, and its owner may move it."""

import time
from typing import Any, cast

from starlette.testclient import TestClient

from cluster.contracts.jobs import PRIORITIES
from service.api.state import AppState
from service.db import tables
from service.db.database import now
from service.db.jobs.queue_places import Place, record_places
from service.db.limits.limits import Limits
from service.db.scheduler.pool_views import PoolNode, record_pool_views
from tests.api import Project, add_admin_key, add_project, jsonl, with_settings
from tests.databases import on_both_databases
from tests.service.db.rows import add_attempt

JOBS = "/v1/fine_tuning/jobs"


def body(http: TestClient, key: str = "", **tunery: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else None
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file = http.post("/v1/files", headers=headers, **upload).json()["id"]
    return {"model": "base-1", "training_file": file, "tunery": tunery}


def new_job(http: TestClient, state: AppState, status: str, *, queued_at: float, key: str = "") -> str:
    headers = {"authorization": f"Bearer {key}"} if key else None
    job: str = http.post(JOBS, headers=headers, json=body(http, key)).json()["id"]
    with state.database.write() as session:
        row = session.get_one(tables.Job, job)
        row.status, row.queued_at = status, queued_at
    return job


def queue_of(http: TestClient, job: str) -> Any:
    """As the job itself and the list of jobs say."""
    queue = http.get(f"{JOBS}/{job}").json()["tunery"]["queue"]
    listed = {one["id"]: one["tunery"]["queue"] for one in http.get(JOBS).json()["data"]}
    assert listed[job] == queue
    return queue


@on_both_databases
def test_jobs_far_behind_are_counted_over_all_projects(http: TestClient, state: AppState) -> None:
    other = add_project(state.database).key
    last = new_job(http, state, "queued", queued_at=50)
    first = new_job(http, state, "queued", queued_at=20)
    assert queue_of(http, first)["position"] == 1
    for status in ("queued", "running", "starting", "pausing", "publishing"):
        new_job(http, state, status, queued_at=30, key=other)
    assert queue_of(http, first) == {
        "position": 1,
        "reason": "pending",
        "message": "The scheduler has not looked at it yet: jobs that come earlier have their turn first.",
        "estimated_start": None,
        "estimated_finish": None,
        "retry_at": None,
    }
    assert queue_of(http, last)["position"] == 3, "behind its own and one of the other's"


@on_both_databases
def test_the_jobs_of_a_page_are_counted_one_after_the_other(http: TestClient, state: AppState) -> None:
    ids = [new_job(http, state, "queued", queued_at=at) for at in (30, 10, 20, 10)]
    with state.database.write() as session:
        session.get_one(tables.Job, ids[0]).priority = "high"
    listed = {one["id"]: one["tunery"]["queue"]["position"] for one in http.get(JOBS).json()["data"]}
    assert listed[ids[0]] == 1
    assert sorted(listed[ids[number]] for number in (1, 3)) == [2, 3]
    assert listed[ids[2]] == 4
    for id, position in listed.items():
        assert http.get(f"{JOBS}/{id}").json()["tunery"]["queue"]["position"] == position


@on_both_databases
def test_the_heads_stand_where_the_scheduler_says(http: TestClient, state: AppState) -> None:
    job = new_job(http, state, "queued", queued_at=1)
    soon = int(time.time()) + 600
    with state.database.write() as session:
        place = Place(job, 3, "pool_full", "needs 8 devices of pool h100; 5 are free.", soon, None)
        record_places(session, [place], at=now(session))
    assert queue_of(http, job) == {
        "position": 3,
        "reason": "pool_full",
        "message": "Needs 8 devices of pool h100; 5 are free.",
        "estimated_start": soon,
        "estimated_finish": None,
        "retry_at": None,
    }
    event = http.get(f"{JOBS}/{job}/events").json()["data"][0]
    assert event["message"] == "Waiting: needs 8 devices of pool h100; 5 are free."
    assert event["data"] == {"reason": "pool_full", "position": 3, "estimated_start": soon}


def test_the_owner_is_warned_once_of_a_job_that_slips_past_its_start_by(
    http: TestClient, state: AppState
) -> None:
    job, latest = new_job(http, state, "queued", queued_at=1), int(time.time()) + 3600
    with state.database.write() as session:
        session.get_one(tables.Job, job).start_by = latest

    def warnings(*expected_starts: float, reason: str = "pool_full") -> list[str]:
        for minute, starts_at in enumerate(expected_starts):
            with state.database.write() as session:
                place = Place(job, 1, reason, "needs 8 devices.", starts_at, None)
                record_places(session, [place], at=now(session) + 120 * minute)
        events = http.get(f"{JOBS}/{job}/events").json()["data"]
        return [event["level"] for event in events if event["message"].startswith("Waiting:")]

    assert warnings(latest - 60, latest - 30) == ["info"]
    with state.database.write() as session:
        session.get_one(tables.QueuePlace, job).told_at = 0.0
    assert warnings(latest + 60, latest + 600, latest - 60, latest + 60) == ["warn", "info"]


def test_only_queued_jobs_have_a_place(http: TestClient, state: AppState) -> None:
    for status in ("validating_files", "starting", "running", "publishing", "paused", "succeeded", "failed"):
        assert queue_of(http, new_job(http, state, status, queued_at=1)) is None


def test_a_resumed_job_is_queued_anew(http: TestClient, state: AppState) -> None:
    before = new_job(http, state, "queued", queued_at=2)
    job = new_job(http, state, "paused", queued_at=1)
    resumed = http.post(f"{JOBS}/{job}/resume").json()
    assert (resumed["status"], resumed["tunery"]["queue"]["position"]) == ("queued", 2)
    assert queue_of(http, before)["position"] == 1


def test_after_a_fault_it_says_until_when_it_waits(http: TestClient, state: AppState) -> None:
    job = new_job(http, state, "queued", queued_at=1)
    soon = int(time.time()) + 600
    for retry_at, shown in ((soon + 0.5, (soon, "backing_off")), (1.0, (None, "pending"))):
        with state.database.write() as session:
            session.get_one(tables.Job, job).retry_at = retry_at
        queue = queue_of(http, job)
        assert (queue["retry_at"], queue["reason"]) == shown


def test_the_priority_of_a_job_can_be_changed_as_far_as_its_project_may(
    http: TestClient, state: AppState, project: Project
) -> None:
    first, second = (new_job(http, state, "queued", queued_at=at) for at in (1.0, 2.0))
    lowered = http.post(f"{JOBS}/{first}/priority", json={"priority": "low"}).json()
    assert lowered["tunery"]["priority"] == "low"
    assert queue_of(http, first)["position"] == 2
    assert queue_of(http, second)["position"] == 1
    refused = http.post(f"{JOBS}/{first}/priority", json={"priority": "high"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "priority_not_allowed")
    with state.database.write() as session:
        Limits(session).change(project.tenant.project_id, {"max_priority": PRIORITIES.index("high")})
    http.post(f"{JOBS}/{first}/priority", json={"priority": "high"}).raise_for_status()
    assert queue_of(http, first)["position"] == 1
    messages = [event["message"] for event in http.get(f"{JOBS}/{first}/events").json()["data"]]
    assert messages[:2] == [
        "The priority has been changed from low to high",
        "The priority has been changed from normal to low",
    ]
    http.post(f"{JOBS}/{first}/cancel").raise_for_status()
    assert http.post(f"{JOBS}/{first}/priority", json={"priority": "low"}).status_code == 409


def test_a_job_is_created_with_a_priority_and_a_time_to_start(
    http: TestClient, state: AppState, project: Project
) -> None:
    soon = int(time.time()) + 600
    made = http.post(JOBS, json=body(http, priority="low", start_by=soon)).json()["tunery"]
    assert (made["priority"], made["start_by"]) == ("low", soon)
    for asked, status, code, param in (
        ({"priority": "high"}, 403, "priority_not_allowed", "tunery.priority"),
        ({"start_by": 1}, 400, "start_by_passed", "tunery.start_by"),
        ({"priority": "highest"}, 400, "invalid_value", "tunery.priority"),
    ):
        refused = http.post(JOBS, json=body(http, **asked))
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (status, code, param)


def test_a_job_that_needs_more_devices_than_its_project_may_ever_hold_is_refused(
    http: TestClient, state: AppState, project: Project
) -> None:
    wide = body(http) | {"training": {"num_workers": {"min": 2, "max": 4}}}
    cast(Any, http.app).state.app_state = with_settings(state, training_slots=4)
    with state.database.write() as session:
        Limits(session).change(project.tenant.project_id, {"max_devices": 1})
    refused = http.post(JOBS, json=wide)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "max_devices_exceeded")
    assert "needs 2 device(s)" in error["message"]
    assert "may hold 1." in error["message"]
    with state.database.write() as session:
        Limits(session).change(project.tenant.project_id, {"max_devices": 2})
    http.post(JOBS, json=wide).raise_for_status()


def test_an_administrator_says_what_a_project_may_have_of_the_devices(
    http: TestClient, state: AppState, project: Project
) -> None:
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    limits = f"/v1/organization/projects/{project.tenant.project_id}/limits"
    before = http.get(limits, headers=admin).json()
    assert (before["max_priority"], before["device_share"]) == ("normal", 1)
    change = {"max_priority": "high", "device_share": 3, "soft_max_devices": 8, "max_devices": 16}
    for name in ("max_priority", "device_share"):
        refused = http.post(limits, headers=admin, json={name: change[name]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, name)
    # Organizations may not put themselves before others, unless the operator allows it.
    app = cast(Any, http.app)
    app.state.app_state = with_settings(state, organizations_may_prioritize=True)
    assert http.post(limits, headers=admin, json=change).json().items() >= change.items()
    http.post(JOBS, json=body(http, priority="high")).raise_for_status()
    assert http.post(limits, headers=admin, json={"device_share": 0}).status_code == 400


def test_an_administrator_sees_the_organizations_queue_and_all_pools(
    http: TestClient, state: AppState, project: Project
) -> None:
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    other = add_project(state.database).key
    last, first = (new_job(http, state, "queued", queued_at=at) for at in (50, 20))
    foreign = new_job(http, state, "queued", queued_at=10, key=other)
    with state.database.write() as session:
        waits = Place(last, 1, "pool_full", "needs 1 device of pool training; 0 are free.", None, None)
        record_places(session, [waits], at=now(session))
    add_attempt(state.database, new_job(http, state, "running", queued_at=1, key=other), 1)
    queue = http.get("/v1/organization/queue", headers=admin).json()
    assert [(job["id"], job["queue"]["position"]) for job in queue["data"]] == [(last, 1), (first, 2)]
    assert queue["data"][0]["queue"]["reason"] == "pool_full"
    assert foreign not in str(queue)
    assert http.get("/v1/organization/queue?limit=1", headers=admin).json()["has_more"]
    pools = http.get("/v1/organization/pools", headers=admin).json()
    (pool,) = pools["data"]
    assert (pool["name"], pool["devices"], pool["held_devices"]) == ("training", 1, 1)
    assert pool["view"] is None
    assert (pools["slots"], pools["queued_jobs"]) == (1, 3)
    nodes = [PoolNode("a", "standing", 4, 3), PoolNode("b", "avoided", 4, 0, "Attempts keep failing.")]
    with state.database.write() as session:
        seen_at = now(session)
        record_pool_views(session, {"gone": nodes}, at=seen_at)
        record_pool_views(session, {"training": nodes}, at=seen_at)
    (pool,) = http.get("/v1/organization/pools", headers=admin).json()["data"]
    standing = {"id": "a", "state": "standing", "devices": 4, "free_devices": 3, "reason": None}
    avoided = {"id": "b", "state": "avoided", "devices": 4, "free_devices": 0}
    assert pool["view"] == {
        "seen_at": int(seen_at),
        "standing_nodes": 1,
        "draining_nodes": 0,
        "avoided_nodes": 1,
        "free_devices": 3,
        "nodes": [standing, {**avoided, "reason": "Attempts keep failing."}],
    }
    with state.database.write() as session:
        record_pool_views(session, {"training": nodes}, at=seen_at - 200)
    (pool,) = http.get("/v1/organization/pools", headers=admin).json()["data"]
    assert pool["view"] is None, "an old view is none"
    for path in ("queue", "pools"):
        assert http.get(f"/v1/organization/{path}").status_code == 403
