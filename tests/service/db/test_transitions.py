"""The state machine, on both databases."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from cluster.contracts.errors import Conflict
from cluster.contracts.jobs import TRANSITIONS, JobStatus
from service.db import tables
from service.db.database import Database, now
from service.db.jobs.jobs import Jobs
from service.db.transitions import lock, transition
from tests.service.db.rows import TENANT, add_attempt, add_job, add_tenants, get_job, move, outbox


@pytest.fixture
def job_id(database: Database) -> str:
    add_tenants(database)
    return add_job(database).id


def _force(database: Database, job_id: str, status: JobStatus) -> None:
    with database.write() as session:
        session.execute(update(tables.Job).where(tables.Job.id == job_id).values(status=status.value))


def test_every_transition_in_the_table_is_allowed_and_every_other_refused(
    database: Database, job_id: str
) -> None:
    for source, to in product(JobStatus, JobStatus):
        _force(database, job_id, source)
        before = get_job(database, job_id)
        if to in TRANSITIONS[source]:
            move(database, job_id, to)
            after = get_job(database, job_id)
            assert (after.status, after.version) == (to, before.version + 1)
        else:
            with pytest.raises(Conflict):
                move(database, job_id, to)
            assert get_job(database, job_id) == before


def test_only_one_of_two_transitions_from_the_same_version_succeeds(database: Database, job_id: str) -> None:
    with database.read() as session:
        stale = session.scalars(select(tables.Job).where(tables.Job.id == job_id)).one()
    move(database, job_id, JobStatus.QUEUED)
    _force(database, job_id, JobStatus.VALIDATING_FILES)  # the same status again: only the version differs
    with pytest.raises(Conflict), database.write() as session:
        transition(session, stale, JobStatus.FAILED, at=1)
    assert get_job(database, job_id).status == JobStatus.VALIDATING_FILES


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.sampled_from(list(JobStatus)), max_size=12))
def test_only_publishing_a_failed_job_again_leaves_an_end_and_each_end_notifies_once(
    database, wanted
) -> None:
    add_tenants_once(database)
    job = add_job(database)
    told_before = len(outbox(database))
    ends = []
    left = []
    for to in wanted:
        before = get_job(database, job.id).status
        try:
            move(database, job.id, to)
        except Conflict:
            continue
        if to.is_terminal:
            ends.append(to)
        if before.is_terminal:
            left.append((before, to))
    assert set(left) <= {(JobStatus.FAILED, JobStatus.PUBLISHING)}
    assert len(ends) <= len(left) + 1
    last = get_job(database, job.id)
    assert (last.finished_at is not None) == last.status.is_terminal
    assert outbox(database)[told_before:] == [f"fine_tuning.job.{end.value}" for end in ends]


def add_tenants_once(database: Database) -> None:
    with database.read() as session:
        is_new = session.scalar(select(tables.Organization.id)) is None
    if is_new:
        add_tenants(database)


def test_leaving_the_running_states_ends_the_attempt(database: Database, job_id: str) -> None:
    for leave in (JobStatus.QUEUED, JobStatus.PUBLISHING, JobStatus.CANCELLED, JobStatus.FAILED):
        _force(database, job_id, JobStatus.RUNNING)
        number = get_job(database, job_id).attempt + 1
        add_attempt(database, job_id, number)
        move(database, job_id, leave)
        with database.read() as session:
            attempt = session.get_one(tables.Attempt, (job_id, number))
        assert attempt.state == "ended"
        assert attempt.ended_at is not None


def test_only_time_with_devices_counts_as_held_and_only_until_the_owner_resumes_the_job(
    database: Database, job_id: str
) -> None:
    def end_attempt(number: int, started_ago: float | None, *path: JobStatus) -> float:
        """The job's seconds with devices, once the attempt has gone along the path."""
        _force(database, job_id, JobStatus.RUNNING)
        add_attempt(database, job_id, number)
        with database.write() as session:
            started_at = None if started_ago is None else now(session) - started_ago
            session.get_one(tables.Attempt, (job_id, number)).started_at = started_at
        move(database, job_id, *path)
        with database.read() as session:
            return session.get_one(tables.Job, job_id).held_seconds

    assert end_attempt(1, 60.0, JobStatus.QUEUED) == pytest.approx(60, abs=5)
    assert end_attempt(2, None, JobStatus.QUEUED) == pytest.approx(60, abs=5)
    paused = end_attempt(3, 600.0, JobStatus.PAUSING, JobStatus.PAUSED)
    assert paused == pytest.approx(660, abs=5)
    with database.write() as session:
        Jobs(session, TENANT).resume(job_id)
    with database.read() as session:
        assert session.get_one(tables.Job, job_id).held_seconds == 0


def test_a_lock_returns_the_current_row(database: Database, job_id: str) -> None:
    with database.write() as session:
        assert lock(session, job_id).status == "validating_files"
        session.execute(
            update(tables.Job).values(status="queued").execution_options(synchronize_session=False)
        )
        assert lock(session, job_id).status == "queued"
