"""Limits on jobs and files, on both databases."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.contracts.errors import QuotaExceeded, RateLimited
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.jobs import JobStatus
from service.db import tables
from service.db.database import Database, now
from service.db.jobs.jobs import Jobs, NewJob
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED, Defaults
from service.db.limits.quota_use import device_seconds_this_month, jobs_of_project
from service.db.limits.quotas import Quotas, check_stored_bytes
from service.db.organization.api_keys import ApiKeys
from service.db.usage.device_time import device_time
from tests.service.db.rows import OTHER, TENANT, add_attempt, add_file, add_job, add_tenants, move


@pytest.fixture
def key_id(database: Database) -> str:
    add_tenants(database)
    with database.write() as session:
        return ApiKeys(session).create(TENANT, name="k", scopes=frozenset({"write"}))[1]


def create(database: Database, key_id: str, file_id: str, defaults: Defaults) -> str:
    with database.write() as session:
        Quotas(session, TENANT, key_id, defaults).check_new_job()
        new = NewJob(model="tiny", training_file=file_id, api_key_id=key_id)
        return Jobs(session, TENANT).create(new).id


def resume(database: Database, key_id: str, job_id: str, defaults: Defaults) -> None:
    with database.write() as session:
        Jobs(session, TENANT).resume(job_id)
        Quotas(session, TENANT, key_id, defaults).check_resumed_job()


@pytest.mark.parametrize("name", ["concurrent_jobs", "jobs_per_day"])
@pytest.mark.parametrize("subject", ["project", "key"])
def test_creates_at_the_same_time_never_exceed_a_limit(
    database: Database, key_id: str, name: str, subject: str
) -> None:
    with database.write() as session:
        subject_id = TENANT.project_id if subject == "project" else key_id
        Limits(session).change(subject_id, {name: 3})  # type: ignore[dict-item]
    file = add_file(database, status="processed", format="chat", n_examples=20)
    barrier = threading.Barrier(8)

    def one(_: int) -> bool:
        barrier.wait(300)
        try:
            create(database, key_id, file.id, {})
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 3
    with database.read() as session:
        assert len(Jobs(session, TENANT).list().data) == 3


def test_paused_and_ended_jobs_leave_room_and_resuming_needs_it(database: Database, key_id: str) -> None:
    defaults: Defaults = {"concurrent_jobs": 1}
    file = add_file(database, status="processed", format="chat", n_examples=20)
    first = create(database, key_id, file.id, defaults)
    with pytest.raises(RateLimited, match="concurrent jobs: Limit 1, Used 1, Requested 1") as refused:
        create(database, key_id, file.id, defaults)
    assert not refused.value.can_wait
    move(database, first, JobStatus.QUEUED, JobStatus.PAUSED)
    second = create(database, key_id, file.id, defaults)
    with pytest.raises(RateLimited, match="Limit 1, Used 1"):
        resume(database, key_id, first, defaults)
    with database.write() as session:
        assert Jobs(session, TENANT).get(first).status is JobStatus.PAUSED
        Jobs(session, TENANT).cancel(second)
    resume(database, key_id, first, defaults)


def test_a_day_is_24_hours_and_the_wait_is_known(database: Database, key_id: str) -> None:
    defaults: Defaults = {"jobs_per_day": 2}
    file = add_file(database, status="processed", format="chat", n_examples=20)
    ids = [create(database, key_id, file.id, defaults) for _ in range(2)]
    with database.write() as session:
        session.get_one(tables.Job, ids[0]).created_at -= 80_000
    with pytest.raises(RateLimited, match="on jobs per day: Limit 2, Used 2, Requested 1") as refused:
        create(database, key_id, file.id, defaults)
    assert 6300 < refused.value.retry_after_seconds < 6410
    with database.write() as session:
        session.get_one(tables.Job, ids[0]).created_at -= 6500
    create(database, key_id, file.id, defaults)


def test_a_limit_of_zero_refuses_everything(database: Database, key_id: str) -> None:
    file = add_file(database, status="processed", format="chat", n_examples=20)
    for name in ("concurrent_jobs", "jobs_per_day"):
        with pytest.raises(RateLimited) as refused:
            create(database, key_id, file.id, {name: 0})
        assert not refused.value.can_wait
    with pytest.raises(QuotaExceeded):
        create(database, key_id, file.id, {"device_hours_per_month": 0})


def test_a_project_may_be_freed_of_the_default(database: Database, key_id: str) -> None:
    defaults: Defaults = {"concurrent_jobs": 0, "jobs_per_day": 0, "stored_bytes": 0}
    with database.write() as session:
        Limits(session).change(TENANT.project_id, dict.fromkeys(defaults, UNLIMITED))
    file = add_file(database, status="processed", format="chat", n_examples=20)
    create(database, key_id, file.id, defaults)
    with database.write() as session:
        check_stored_bytes(session, TENANT, 10**12, defaults)
        Limits(session).remove(TENANT.project_id)
    with pytest.raises(RateLimited):
        create(database, key_id, file.id, defaults)


def ran(database: Database, job_id: str, number: int, start: float, end: float | None) -> None:
    add_attempt(database, job_id, number)
    with database.write() as session:
        attempt = session.get_one(tables.Attempt, (job_id, number))
        attempt.created_at, attempt.started_at, attempt.ended_at = start - 50.0, start, end


def test_device_time_is_each_attempts_duration_times_its_workers(database: Database, key_id: str) -> None:
    job = add_job(database, training=TrainingOptions(num_workers=2), api_key_id=key_id)
    others = add_job(database, OTHER)
    ran(database, job.id, 1, 100.0, 200.0)
    ran(database, job.id, 2, 300.0, None)
    ran(database, others.id, 1, 100.0, 900.0)
    with database.read() as session:
        owned = [jobs_of_project(TENANT.project_id)]
        parts = device_time(session, owned, 150.0, 400.0)
        assert sorted(part.device_seconds for part in parts) == [100.0, 200.0]
        assert {(part.api_key_id, part.model) for part in parts} == {(key_id, "tiny")}
        assert device_time(session, owned, 210.0, 290.0) == []


def test_used_up_device_hours_refuse_new_jobs_and_leave_running_ones(database: Database, key_id: str) -> None:
    defaults: Defaults = {"device_hours_per_month": 1}
    running = add_job(database)
    with database.read() as session:
        at = now(session)
    ran(database, running.id, 1, at - 40 * 86_400, None)
    file = add_file(database, status="processed", format="chat", n_examples=20)
    with database.read() as session:
        used = device_seconds_this_month(session, jobs_of_project(TENANT.project_id))
    if used < 3600:  # in the first hour of a month
        create(database, key_id, file.id, defaults)
        return
    with pytest.raises(QuotaExceeded, match="Limit 1 device-hours a month, Used") as refused:
        create(database, key_id, file.id, defaults)
    assert refused.value.code == "exceeded_quota"
    with database.read() as session:
        assert not Jobs(session, TENANT).get(running.id).status.is_terminal


def at_once(action: Callable[[], object], times: int) -> int:
    barrier = threading.Barrier(times)

    def one(_: int) -> bool:
        barrier.wait(300)
        try:
            action()
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(times) as pool:
        return sum(pool.map(one, range(times)))


def test_files_stored_at_the_same_time_never_exceed_the_limit(database: Database, key_id: str) -> None:
    def store() -> None:
        with database.write() as session:
            check_stored_bytes(session, TENANT, 10, {"stored_bytes": 35})
            session.add(file_row(now(session)))

    numbers = iter(range(100))

    def file_row(at: float) -> tables.File:
        id = f"file-{next(numbers)}"
        owner = {"organization_id": TENANT.organization_id, "project_id": TENANT.project_id}
        return tables.File(
            id=id,
            **owner,
            filename="a",
            purpose="fine-tune",
            bytes=10,
            sha256="0",
            object_key=id,
            status="uploaded",
            created_at=int(at),
        )

    assert at_once(store, 8) == 3
    with database.write() as session:
        session.get_one(tables.File, "file-0").deleted_at = 1
    assert at_once(store, 4) == 1
